"""The people's file: read once, checked whole, and asked who somebody is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rai_pipelines.errors import PeopleError
from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.governance.people.identity import canonical_identity, usable_identity
from rai_pipelines.policy.release_rules import Role
from rai_pipelines.yaml_documents import read_yaml_document

WRITABLE_BY_ALL = 0o002
Identity = Annotated[str, AfterValidator(usable_identity)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PersonKey(_Frozen):
    """A signing key by its id. What it signs after `until` does not count; what it signed before does."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    until: date | None = None


class Person(_Frozen):
    """Somebody who can answer for a decision, or a service that acts for people.

    `id` stays for ever and is never given to another person. `identities` are the other names by which registries and mail know them.
    A service account has no keys: it submits versions, and the people `responsible` for it count as the submitters.
    """

    id: Identity
    name: str = Field(min_length=1, max_length=200)
    mail: str | None = Field(default=None, max_length=200)
    identities: tuple[Identity, ...] = ()
    roles: tuple[Role, ...] = ()
    former_roles: dict[Role, date] = Field(default={}, description="Roles held up to and including a day: what was decided in them then still counts")
    keys: tuple[PersonKey, ...] = ()
    deputy: Identity | None = None
    active: bool = True
    responsible: tuple[Identity, ...] = Field(default=(), description="For a service account: the people it acts for")

    @model_validator(mode="after")
    def _a_service_signs_nothing(self) -> Self:
        if self.responsible and (self.keys or self.roles or self.former_roles):
            raise ValueError(f"{self.id} acts for others and so has neither keys nor roles")
        return self

    def held(self, role: str, day: date) -> bool:
        """Whether a decision of that day, made in that role, counts."""
        return role in self.roles or (role in self.former_roles and day <= self.former_roles[role])

    @property
    def known_as(self) -> tuple[str, ...]:
        """Every identity of this person, in canonical form."""
        mail = (canonical_identity(self.mail),) if self.mail else ()
        return tuple(dict.fromkeys((self.id, *self.identities, *mail)))


class Directory(_Frozen):
    """Everybody who counts."""

    schema_version: Literal["rai.people/v1"] = Field(alias="schema")
    people: tuple[Person, ...] = Field(default=())

    @model_validator(mode="after")
    def _nobody_is_two_people(self) -> Self:
        owners: dict[str, str] = {}
        for person in self.people:
            for name in (*person.known_as, *(f"key {key.id}" for key in person.keys)):
                if owners.setdefault(name, person.id) != person.id:
                    raise ValueError(f"{name} belongs to both {owners[name]} and {person.id}")
        if len({person.id for person in self.people}) != len(self.people):
            raise ValueError("a person stands in the file twice")
        for person in self.people:
            for other in (*person.responsible, *((person.deputy,) if person.deputy else ())):
                if other not in owners or not any(other == known.id for known in self.people):
                    raise ValueError(f"{person.id} names {other}, who is not in the file")
            services = [other.id for other in self.people if other.responsible and other.id in person.responsible]
            if services:
                raise ValueError(f"{person.id} acts for {services[0]}, which itself acts for others: name the people behind it")
        return self

    @property
    def digest(self) -> str:
        """Digest over the content; recorded with every decision, so that a change of the file can be seen."""
        return digest_of(self.model_dump(mode="json", by_alias=True))

    def find(self, identity: str) -> Person | None:
        """Who `identity` (an id, another identity or a mail address) is; None when nobody is known by it."""
        wanted = canonical_identity(identity)
        return next((person for person in self.people if wanted in person.known_as), None)

    def owner_of_key(self, keyid: str) -> Person | None:
        """Whose key this is."""
        return next((person for person in self.people if any(key.id == keyid for key in person.keys)), None)

    def standing_for(self, identity: str) -> frozenset[str]:
        """Ids of the people behind an identity: the person, or those responsible for a service account; empty when nobody is known by it."""
        person = self.find(identity)
        if person is None:
            return frozenset()
        return frozenset(person.responsible) if person.responsible else frozenset({person.id})

    def in_role(self, role: str) -> tuple[Person, ...]:
        """Active people who hold `role`."""
        return tuple(person for person in self.people if person.active and role in person.roles)


def read_directory(path: Path) -> Directory:
    """The people's file at `path`; nobody, when there is none (then nobody can approve).

    Raises:
        PeopleError: it is not readable, anybody may write it, a field is wrong, or one identity or key belongs to two people; names file and line.
    """
    if not path.exists():
        return Directory(schema="rai.people/v1")
    if path.stat().st_mode & WRITABLE_BY_ALL:
        raise PeopleError("can be written by every user of this machine", where=str(path), hint=f"Run: chmod o-w {path.name}")
    return read_yaml_document(path, Directory, error=PeopleError)


def require_person(directory: Directory, identity: str) -> Person:
    """Who `identity` is.

    Raises:
        PeopleError: nobody active is known by it.
    """
    person = directory.find(identity)
    if person is None or not person.active:
        what = "is nobody in the file of people" if person is None else "is no longer active"
        raise PeopleError(what, where=repr(identity[:60]), hint="Check RAI_PEOPLE_FILE")
    return person


def names_of(directory: Directory, ids: Iterable[str]) -> tuple[str, ...]:
    """Names for a person to read, in the order of `ids`; the id where somebody is no longer in the file."""
    by_id = {person.id: person.name for person in directory.people}
    return tuple(by_id.get(one, one) for one in ids)
