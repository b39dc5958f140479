"""Whether people oversee single decisions, and whether the policy itself is looked after: review logs, training records, policy reviews."""
