"""What was decided: the gate of a model version and what the registry is told."""
