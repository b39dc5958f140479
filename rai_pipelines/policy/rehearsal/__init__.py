"""What a policy means before it is in force: coverage, explanation, difference, replay of stored verdicts. Reads, decides nothing."""
