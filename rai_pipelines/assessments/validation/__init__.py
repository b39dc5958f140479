"""Are the tables what the datasheet says and what training was. No figures about people or models."""
