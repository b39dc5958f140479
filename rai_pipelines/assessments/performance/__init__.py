"""How good the model is at its task: against a trivial baseline, by group, and in production. Not how its mistakes are spread (`fairness`)."""
