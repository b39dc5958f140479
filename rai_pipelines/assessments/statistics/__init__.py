"""Intervals, tests and distances that assessments share: pure functions of counts."""
