"""Benchmarks against peers: what an audit counts, by this project and by the tools people use otherwise, with the check that figures agree.

Run by `python -m benchmarks` (`make bench`). Timings are no part of the tests: they say something about one machine on one day.
"""
