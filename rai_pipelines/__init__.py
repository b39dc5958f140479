"""Continuous responsible-AI audits of registered model versions.

Each sub-package is one room that answers one question (see README.md, "Layout of the rooms").
Nothing is re-exported here: import from the room.
"""

__version__ = "0.1.0"
