"""Somebody who is about to sign: who they are, their key, and the role they decide in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rai_pipelines.errors import DecisionRefused, KeyProblem
from rai_pipelines.governance.keys import PUBLIC_SUFFIX, SECRET_SUFFIX, load_signer, read_public_key
from rai_pipelines.governance.people.directory import Directory, Person, require_person

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner


@dataclass(frozen=True)
class Signer:
    """Who they are, the role they decide in (None: the one that is asked for), and the key they sign with (None: theirs in the keys folder)."""

    person: str
    role: str | None = None
    key: Path | None = None


def at_the_desk(folder: Path, directory: Directory, signer: Signer) -> tuple[Person, CryptoSigner]:
    """The person and their key: the one named, or the one in the keys folder that is theirs.

    Raises:
        PeopleError: nobody active is known by that identity.
        KeyProblem: there is no key of theirs that can be used.
    """
    person = require_person(directory, signer.person)
    if signer.key is not None:
        return person, load_signer(signer.key)
    for path in sorted(folder.glob(f"*{SECRET_SUFFIX}")):
        public = path.with_name(path.name.removesuffix(SECRET_SUFFIX) + PUBLIC_SUFFIX)
        if public.exists() and str(read_public_key(public).keyid) in {key.id for key in person.keys}:
            return person, load_signer(path)
    raise KeyProblem(
        "has no signing key here", where=repr(person.id), hint="Make one with: rai keys init NAME, list it in the people's file, or give --key"
    )


def role_of(person: Person, named: str | None, wanted: Sequence[str]) -> str:
    """The role that a person decides in: the one named, the only one they hold, or the only one they hold that is asked for.

    Raises:
        DecisionRefused: it is not clear which.
    """
    if named is not None:
        return named
    held = [role for role in person.roles if role in wanted] or list(person.roles)
    if len(held) != 1:
        raise DecisionRefused(f"could decide as {' or '.join(held) or 'nobody'}", where=repr(person.id), hint="Say which with --role")
    return held[0]
