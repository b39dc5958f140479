"""What happens to a policy over time: it is published, rehearsed on stored evidence, calibrated, and reviewed. What it says belongs in policy/."""
