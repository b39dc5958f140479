"""What was measured: pure functions of (model version, datasheet, tables, parameters, seed) that return evidence.

No assessment knows a threshold; judging belongs in policy/."""
