"""Killed at every step between a decision and what the registry shows, and two processes deciding at once: nothing is lost, nothing is doubled."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from securesystemslib.signer import CryptoSigner

from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.gate.record import APPROVED_ALIAS, GateState
from rai_pipelines.governance.gate.registry_sync import registry_deliveries
from rai_pipelines.governance.ledger.checkpoints import read_outside
from rai_pipelines.governance.ledger.storage import Ledger
from rai_pipelines.governance.ledger.verify import verify_ledger
from rai_pipelines.governance.outbox import drain, waiting
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.governance.office import WORDS, Office
from rai_pipelines_tests.registries import new_registry

VERSION = ModelVersion("loans", "1")
# Each process decides and tells the registry; it is killed where STEP names, as a power cut would.
PROCESS = """
import json, os, signal, sys
from pathlib import Path
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.governance.database.engine import open_database
from rai_pipelines.governance.decisions.statement import Decision, SignedDecision, Words
from rai_pipelines.governance.decisions.store import DecisionBook
from rai_pipelines.governance.gate import keeper as keepers, moves, registry_sync
from rai_pipelines.governance.keys import read_public_keys
from rai_pipelines.governance.ledger.storage import Ledger
from rai_pipelines.governance.people.directory import read_directory
from rai_pipelines.policy.model import Policy
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from datetime import datetime

given = json.loads(Path(sys.argv[1]).read_text())
step = sys.argv[2]
now = datetime.fromisoformat(given["now"])

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def dying(function, *, before=False):
    def run(*arguments, **named):
        if before:
            die()
        made = function(*arguments, **named)
        die()
        return made
    return run

engine = open_database(given["url"])
folder = Path(given["folder"])
book = DecisionBook(Ledger(engine, lambda: now), read_directory(folder / "people.yaml"), read_public_keys(folder / "keys"))
keeper = keepers.Gatekeeper(engine, book, Policy.model_validate(given["policy"]), LocalEvidenceStore(folder / "evidence"), lambda: now)
if step == "after the decision, in the transaction":
    DecisionBook.record = dying(DecisionBook.record)
if step == "before the commit":
    moves.put = dying(moves.put)
for envelope in given["envelopes"]:
    decision = Decision.model_validate(envelope["decision"])
    keeper.decide(SignedDecision(decision, envelope["envelope"], "", ""), Words.model_validate(given["words"]))
if step == "after the commit":
    die()
registry = MlflowRegistry(given["registry"])
if step == "before the tags":
    MlflowRegistry.set_tags = dying(MlflowRegistry.set_tags, before=True)
if step == "after the tags":
    MlflowRegistry.set_tags = dying(MlflowRegistry.set_tags)
if step == "after the alias":
    MlflowRegistry.set_alias = dying(MlflowRegistry.set_alias)
from rai_pipelines.governance.outbox import drain
drain(engine, registry_sync.registry_deliveries(engine, registry), now=now)
"""
STEPS = (
    "before the tags",
    *(
        pytest.param(step, marks=pytest.mark.slow)
        for step in ("after the decision, in the transaction", "before the commit", "after the commit", "after the tags", "after the alias")
    ),
)


@pytest.fixture
def office(engine: sa.Engine, tmp_path: Path) -> Office:
    made = Office(engine, tmp_path)
    made.clock.now = datetime.now(UTC)
    return made


def handed_in(office: Office, database_url: str, registry_uri: str, *people: str) -> Path:
    """What a process is given: decisions of these people, signed, and where everything is."""
    gate = office.keeper.look(VERSION)
    signed = [office.signed(person, DecisionKind.APPROVE, gate.binding) for person in people]
    path = office.folder / f"given-{'-'.join(people)}.json"
    content = {
        "url": database_url,
        "registry": registry_uri,
        "folder": str(office.folder),
        "policy": office.policy.model_dump(mode="json", by_alias=True),
        "now": office.clock.now.isoformat(),
        "words": WORDS.model_dump(mode="json"),
        "envelopes": [{"decision": item.decision.model_dump(mode="json"), "envelope": dict(item.envelope)} for item in signed],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def start(given: Path, step: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen([sys.executable, "-c", PROCESS, str(given), step], env=environment, stderr=subprocess.PIPE, text=True)


def ledger_holds(office: Office) -> Counter[str]:
    """Kinds of entries of a ledger that verifies against a checkpoint signed now."""
    signer, folder = CryptoSigner.generate_ed25519(), office.folder / "checkpoints"
    ledger = Ledger(office.engine, office.clock)
    ledger.checkpoint(signer, folder)
    stream = io.StringIO()
    ledger.export(stream)
    found = verify_ledger(stream.getvalue().splitlines(keepends=True), read_outside(folder), [signer.public_key])
    assert found.holds, found.problems
    return Counter(entry.kind for entry in ledger.entries())


@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_between_decision_and_registry_the_next_round_completes_it_once(office: Office, database_url: str, step: str) -> None:
    uri = new_registry(office.folder / "mlflow.db")
    registry = MlflowRegistry(uri)
    registry.register("loans", office.folder / "evidence")
    office.audited()
    given = handed_in(office, database_url, uri, "validator", "risk-owner")
    process = start(given, step)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    again = start(given, "to the end")  # the same decisions handed in again, as after a restart
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    office.clock.advance(minutes=5)  # whatever the dead process had claimed is free again
    drain(office.engine, registry_deliveries(office.engine, registry), now=office.clock.now)

    assert office.keeper.look(VERSION).standing.state is GateState.APPROVED
    assert registry.aliases("loans")[APPROVED_ALIAS] == "1" and registry.get(VERSION).tags["rai.gate"] == "approved"
    kinds = ledger_holds(office)
    assert (kinds["decision"], kinds["gate_state"]) == (2, 2)
    with office.engine.connect() as connection:
        assert waiting(connection) == []


@pytest.mark.slow
def test_two_processes_that_approve_at_once_both_count_and_the_state_changes_once(office: Office, database_url: str) -> None:
    uri = new_registry(office.folder / "mlflow.db")
    registry = MlflowRegistry(uri)
    registry.register("loans", office.folder / "evidence")
    office.audited()
    both = [start(handed_in(office, database_url, uri, person), "to the end") for person in ("validator", "risk-owner")]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert office.keeper.look(VERSION).standing.state is GateState.APPROVED
    office.clock.advance(minutes=5)
    drain(office.engine, registry_deliveries(office.engine, registry), now=office.clock.now)
    assert registry.aliases("loans")[APPROVED_ALIAS] == "1"
    kinds = ledger_holds(office)
    assert (kinds["decision"], kinds["gate_state"]) == (2, 2)
