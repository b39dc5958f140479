"""What must hold: controls, tiers, thresholds and their provenance, findings and verdicts.

Reads evidence, never data or models. How a figure is measured belongs in assessments/."""
