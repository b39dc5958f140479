"""How far apart groups are: rates, disparities, regulators' tables. No thresholds of a policy."""
