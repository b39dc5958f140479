"""The record that cannot be rewritten unnoticed: entries chained by hash, checkpoints signed and kept elsewhere, and their verification.

What happened, to which version, by whose key, with digests of what was decided on. Texts and names of people are kept beside it, where they can
be deleted; only their digests enter. Nothing here decides anything.
"""
