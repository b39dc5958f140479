"""`rai …`: the same verbs for terminals and CI. One module per group of verbs; nothing is computed here."""
