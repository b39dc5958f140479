"""Addresses of registries and databases as errors and logs may show them: without what they keep secret."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

HIDDEN = "***"


def without_secrets(address: str) -> str:
    """`address` with user name, password and query taken out, whatever characters a password has."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    head, _, query = rest.partition("?")
    if head.startswith("/"):  # a file: no host, so no login
        return f"{scheme}://{head}"
    if "@" in query:  # a login with a question mark in it, or a query with an @: which of the two cannot be told
        return f"{scheme}://…"
    return f"{scheme}://{head.rpartition('@')[2].partition('#')[0]}"


def scrubbed(text: str, address: str) -> str:
    """A library's message about `address` without what `address` keeps secret, as it is written and as it is meant."""
    rest = address.partition("://")[2]
    login = "" if rest.startswith("/") else rest.rpartition("@")[0]
    query = rest.partition("?")[2]
    written = {query, login.partition(":")[2] or login, *(value for _, value in parse_qsl(query))}
    secrets = {secret for piece in written for secret in (piece, unquote(piece)) if secret}
    text = text.replace(address, without_secrets(address))
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
