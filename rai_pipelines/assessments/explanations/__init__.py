"""Explanations: what drives the model, why it decided one row as it did, what would change that, and how far any of it can be trusted."""
