"""Attacks that ask a model about the people it was trained on, and the accounting of declared differential privacy."""
