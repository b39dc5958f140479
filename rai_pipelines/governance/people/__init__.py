"""Who may decide: people with their identities, roles and keys, read from one file; identities are compared, not keys."""
