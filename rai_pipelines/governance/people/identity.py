"""One written form for an identity, so that `Ada@Example.org`, `ADA@example.org` and full-width letters are the same person.

Identities of the people's file are ASCII after that: letters of other scripts that look like Latin ones cannot make a second person of one.
An identity from elsewhere (a registry's user) that nobody in the file has is unknown, whatever it looks like, and unknown is never "somebody else".
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 120
ALLOWED = re.compile(r"[a-z0-9][a-z0-9._@+\\/-]*")


def canonical_identity(text: str) -> str:
    """`text` by NFKC and case folding (Unicode TR 31 and TR 36), without white space around it; may still be no identity of ours."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def usable_identity(text: str) -> str:
    """The canonical form of an identity in the people's file.

    Raises:
        ValueError: it has other characters than letters of ASCII, digits and ._@+-/\\, or is too long.
    """
    found = canonical_identity(text)
    if len(found) > LONGEST or not ALLOWED.fullmatch(found):
        shown = text.encode("unicode_escape").decode()[:60]
        raise ValueError(f"identity {shown!r}: ASCII letters, digits and . _ @ + - / only (look-alike letters would make two people of one)")
    return found
