"""Verbs for what is kept: rai db, rai keys, rai ledger."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rai_pipelines.cli.common import AsJson, err, out, print_json, printable
from rai_pipelines.errors import KeyProblem, LedgerError, PeopleError

if TYPE_CHECKING:
    from securesystemslib.signer import Key

EXIT_DOES_NOT_HOLD = 1
SYSTEM_KEY = "ledger"

Role = Annotated[str | None, typer.Option("--grant", help="PostgreSQL role that works with the tables; it can only add to the ledger.")]
KeyName = Annotated[str, typer.Argument(help="Name of the key's files.")]
Exported = Annotated[Path, typer.Argument(help="File written by: rai ledger export")]
PublicKeys = Annotated[list[Path] | None, typer.Option("--key", help="Public key file (NAME.pub.json) that is trusted; may be given again.")]
Checkpoints = Annotated[Path | None, typer.Option("--checkpoints", help="Folder of signed checkpoints that were kept outside the database.")]


Decisions = Annotated[Path | None, typer.Option("--decisions", help="Signed decisions behind it; left out: FILE ending in .decisions.jsonl.")]
People = Annotated[Path | None, typer.Option("--people", help="Whose keys are whose, and their roles; left out: RAI_PEOPLE_FILE.")]
Signers = Annotated[Path | None, typer.Option("--signers", help="Folder with the public keys of people; left out: RAI_KEYS_DIR.")]
SIGNED = ".decisions.jsonl"


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    database, keys, ledger = (typer.Typer(help=text, no_args_is_help=True) for text in (
        "The governance database.", "Signing keys.", "The record that nobody rewrites unnoticed."))  # fmt: skip
    database.command("upgrade")(upgrade_database)
    keys.command("init")(init_key)
    ledger.command("checkpoint")(write_checkpoint)
    ledger.command("export")(export_ledger)
    ledger.command("verify")(verify)
    for name, group in (("db", database), ("keys", keys), ("ledger", ledger)):
        app.add_typer(group, name=name)


def upgrade_database(role: Role = None) -> None:
    """Bring the governance database to this version's schema; safe to repeat."""
    from rai_pipelines.governance.database.engine import address_of, grant, make_engine, upgrade
    from rai_pipelines.settings import load_settings

    engine = make_engine(load_settings().governance_database)
    try:
        out.print(f"Schema {upgrade(engine)} at {address_of(engine)}", markup=False, soft_wrap=True)
        if role is not None:
            grant(engine, role)
            out.print(f"{printable(role)} may work with it", markup=False)
    finally:
        engine.dispose()


def init_key(name: KeyName = SYSTEM_KEY) -> None:
    """Make a key pair; the secret half is readable by you only. The key `ledger` signs the ledger's checkpoints."""
    from rai_pipelines.governance.keys import make_key
    from rai_pipelines.settings import load_settings

    if not name.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter("letters, digits, - and _ only", param_hint="NAME")
    folder = load_settings().keys_path
    out.print(f"Key {make_key(folder, name)} in {folder}", markup=False, soft_wrap=True)


def write_checkpoint() -> None:
    """Sign the root over all entries, and keep it outside the database (RAI_CHECKPOINT_DIR)."""
    from rai_pipelines.governance.database.engine import open_governance
    from rai_pipelines.governance.keys import SECRET_SUFFIX, load_signer
    from rai_pipelines.governance.ledger.storage import Ledger
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    signer = load_signer(settings.keys_path / f"{SYSTEM_KEY}{SECRET_SUFFIX}")
    engine = open_governance(settings)
    try:
        made = Ledger(engine).checkpoint(signer, settings.checkpoint_path)
    finally:
        engine.dispose()
    out.print(
        "Nothing was added since the last checkpoint" if made is None else f"Checkpoint in {settings.checkpoint_path}", markup=False, soft_wrap=True
    )


def export_ledger(target: Annotated[Path, typer.Argument(help="File to write, one entry a line.")], decisions: Decisions = None) -> None:
    """Write the ledger, and the signed decisions behind it, to files that `rai ledger verify` reads without any database."""
    from rai_pipelines.governance.database.engine import open_governance
    from rai_pipelines.governance.decisions.offline import export_decisions
    from rai_pipelines.governance.ledger.storage import Ledger
    from rai_pipelines.settings import load_settings

    beside = decisions or target.with_suffix(SIGNED)
    engine = open_governance(load_settings())
    try:
        with target.open("w", encoding="utf-8", newline="\n") as stream:
            written = Ledger(engine).export(stream)
        with beside.open("w", encoding="utf-8", newline="\n") as stream:
            signed = export_decisions(engine, stream, until=written)
    except OSError as error:
        raise LedgerError(f"cannot be written ({error.strerror})", where=str(target), hint="Choose another file") from error
    finally:
        engine.dispose()
    out.print(f"{written} entries in {target}, {signed} signed decisions in {beside}", markup=False, soft_wrap=True)


def verify(
    exported: Exported,
    *,
    keys: PublicKeys = None,
    checkpoints: Checkpoints = None,
    decisions: Decisions = None,
    people: People = None,
    signers: Signers = None,
    as_json: AsJson = False,
) -> None:
    """Verify an exported ledger and the signatures behind it offline. Exit codes: 0 it is what was signed, 1 it is not, or that is not known."""
    from rai_pipelines.governance.decisions.offline import SignatureCheck
    from rai_pipelines.governance.keys import PUBLIC_SUFFIX, read_public_key, read_public_keys
    from rai_pipelines.governance.ledger.checkpoints import read_outside
    from rai_pipelines.governance.ledger.verify import Verification, verify_ledger
    from rai_pipelines.governance.people.directory import read_directory
    from rai_pipelines.settings import load_settings

    settings = load_settings()
    beside = decisions or exported.with_suffix(SIGNED)
    try:
        trusted: list[Key] = [read_public_key(path) for path in keys or [settings.keys_path / f"{SYSTEM_KEY}{PUBLIC_SUFFIX}"]]
        envelopes: list[dict[str, Any]] = read_outside(checkpoints or settings.checkpoint_path)
        directory, known = read_directory(people or settings.people_path), read_public_keys(signers or settings.keys_path)
        with exported.open(encoding="utf-8", newline="\n") as stream, _signed(beside) as lines:
            found = verify_ledger(stream, envelopes, trusted, statements=SignatureCheck(lines, directory, known))
    except (OSError, KeyProblem, LedgerError, PeopleError) as error:
        found = Verification(problems=[f"could not be verified: {error}"])
    if as_json:
        facts = {name: getattr(found, name) for name in ("entries", "sealed", "checkpoints", "signatures", "problems")}
        print_json({"holds": found.holds, **facts})
    else:
        for problem in found.problems:
            err.print(printable(problem), style="red", markup=False, soft_wrap=True)
        words = "The ledger is what was signed" if found.holds else "The ledger does NOT hold"
        counted = f"{found.entries} entries, {found.sealed} of them under {found.checkpoints} signed checkpoints, {found.signatures} signed decisions"
        out.print(f"{words}: {counted}", markup=False, soft_wrap=True)
    if not found.holds:
        raise typer.Exit(EXIT_DOES_NOT_HOLD)


def _signed(path: Path) -> AbstractContextManager[Iterable[str]]:
    """The exported decisions; none where there is no such file, and then every entry about a decision is a problem."""
    return path.open(encoding="utf-8", newline="\n") if path.exists() else nullcontext(())
