"""What is audited: model versions, datasheets, model files, and the registry adapters.

Counting belongs in tables/, measuring in assessments/."""
