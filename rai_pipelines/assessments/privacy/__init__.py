"""Can people be found in the data: direct identifiers, classes of equal rows, what they give away. Attacks on models are in security."""
