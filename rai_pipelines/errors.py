"""The errors a person can act on: each says what happened, where, and what to do.

Anything that is not a `RaiError` is a defect of this project, not of the user's input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MODULE = re.compile(r"[A-Za-z_][\w.]{0,60}")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")


def without_values(text: str, *, known: Iterable[object] = (), error: BaseException | None = None) -> str:
    """`text`, what another library said of an error, without what it quotes: that may be a value of the data, and so a person's.

    Names in `known` (columns, say) may stay, and of `error` the name of a library that is not there.
    """
    names = {str(name) for name in known}
    if isinstance(error, ModuleNotFoundError) and _MODULE.fullmatch(str(error.name)):
        names.add(str(error.name))
    return _QUOTED.sub(lambda found: found[0] if found[0][1:-1] in names else f"{found[0][0]}…{found[0][0]}", text)


class RaiError(Exception):
    """What happened, where (model, file, column, control) and what to do about it.

    `str(error)` is one readable sentence group; the parts stay available for structured output.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        parts = [f"{where}: {what}" if where else what]
        if hint:
            parts.append(hint)
        super().__init__(". ".join(part.rstrip(".") for part in parts) + ".")


class SettingsError(RaiError):
    """The environment asks for something that cannot be."""


class DocumentError(RaiError):
    """A YAML document (policy or datasheet) is not what its schema allows; `problems` lists every place."""

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None, problems: tuple[str, ...] = ()):
        super().__init__(what, where=where, hint=hint)
        self.problems = problems


class PolicyError(DocumentError):
    """The policy file cannot be used."""


class DatasheetError(DocumentError):
    """The datasheet of a model cannot be used."""


class InvalidName(RaiError):
    """A model name or version cannot be used as a partition key."""


class RegistryUnavailable(RaiError):
    """The model registry did not answer. An outage is not an empty registry: try again, delete nothing."""


class RegistryRefused(RaiError):
    """The registry answered, and does not take what it was told."""


class UnknownModelVersion(RaiError):
    """The registry answered, and has no such model version."""


class DataError(RaiError):
    """A table is missing, empty, or lacks a column that the datasheet names."""


class ModelMissing(RaiError):
    """There is no model file to run; what needs the model cannot be measured."""


class ModelError(RaiError):
    """The model file does not load, is refused, or answers with the wrong shape."""


class BudgetSpent(RaiError):
    """An assessment reached the end of the queries or seconds that the policy allots to it."""


class EvidenceError(RaiError):
    """Stored evidence is absent, altered, or not readable by this version."""


class LedgerError(RaiError):
    """An entry cannot be written to the ledger, or what stands in it cannot be trusted."""


class KeyProblem(RaiError):
    """A signing key is absent, unreadable, or not who it should be."""


class DatabaseError(RaiError):
    """The governance database does not answer, or its schema is not this version's."""


class PeopleError(DocumentError):
    """The file of people cannot be used, or nobody in it is who is meant."""


class DecisionRefused(RaiError):
    """A decision is not accepted: the person may not make it, it is about something else, or it is not signed as it should be."""


class WebhookRefused(RaiError):
    """A delivery is not accepted; `status` is the HTTP status that says so."""

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None, status: int = 401):
        super().__init__(what, where=where, hint=hint)
        self.status = status
