"""How a policy comes to be the one in force: legal dates, extension of another policy, strictness of a change, publication."""
