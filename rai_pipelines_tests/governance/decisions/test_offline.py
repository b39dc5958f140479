"""Signatures verified offline: what was exported holds, and every edit, deletion and forgery of a signed statement is named with its entry."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from securesystemslib.signer import CryptoSigner

from rai_pipelines.governance.decisions.offline import SignatureCheck, export_decisions
from rai_pipelines.governance.decisions.statement import DecisionKind
from rai_pipelines.governance.ledger.checkpoints import read_outside
from rai_pipelines.governance.ledger.entry import GENESIS, hash_of
from rai_pipelines.governance.ledger.storage import Ledger
from rai_pipelines.governance.ledger.verify import Verification, verify_ledger
from rai_pipelines.governance.people.directory import Directory
from rai_pipelines_tests.governance.decisions.test_publications import version
from rai_pipelines_tests.governance.office import Office

SIGNER = CryptoSigner.generate_ed25519()


class Exported:
    """A ledger with two publications, two approvals, a waiver and a review of the policy, and what was exported of it."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self.office = Office(engine, folder)
        office = self.office
        office.publish(office.policy)
        gate = office.approve(office.audited(), "validator", "risk-owner")
        office.waive(office.waiver("DATA-B"), "officer")
        office.decide("second-validator", DecisionKind.COMMENT, gate)
        office.review_policy()
        office.publish(version(office, "1.1.0"))
        ledger = Ledger(engine, office.clock)
        ledger.checkpoint(SIGNER, folder / "outside")
        self.envelopes = read_outside(folder / "outside")
        entries, statements = io.StringIO(), io.StringIO()
        assert export_decisions(engine, statements, until=ledger.export(entries)) == 7
        self.entries, self.statements = entries.getvalue().splitlines(), statements.getvalue().splitlines()

    def verified(self, *, entries: list[str] | None = None, statements: list[str] | None = None, directory: Directory | None = None) -> Verification:
        book = self.office.keeper.book
        lines = self.statements if statements is None else statements
        check = SignatureCheck(lines, directory or book.directory, book.keys)
        return verify_ledger(self.entries if entries is None else entries, self.envelopes, [SIGNER.public_key], statements=check)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    from rai_pipelines.governance.database.engine import make_engine, upgrade

    folder = tmp_path_factory.mktemp("office")
    engine = make_engine(f"sqlite:///{folder / 'governance.db'}")
    upgrade(engine)
    return Exported(engine, folder)


def edited(line: str, **changes: Any) -> str:
    return json.dumps({**json.loads(line), **changes})


def test_what_was_exported_holds_and_every_decision_is_verified(engine: sa.Engine, tmp_path: Path) -> None:
    found = Exported(engine, tmp_path).verified()
    assert (found.problems, found.signatures, found.holds) == ([], 7, True)


def test_without_the_statements_the_decisions_do_not_hold(exported: Exported) -> None:
    found = exported.verified(statements=[])
    assert len(found.problems) == 7 and not found.holds
    assert all("was not exported, or was deleted" in problem for problem in found.problems)


@pytest.mark.parametrize("place", [0, 2, 6])
def test_a_statement_that_is_gone_is_named_with_its_entry(exported: Exported, place: int) -> None:
    (problem, *more) = exported.verified(statements=exported.statements[:place] + exported.statements[place + 1 :]).problems
    assert problem.startswith(f"entry {json.loads(exported.statements[place])['sequence']}:")
    assert len(more) == (1 if place == 0 else 0), "without the first publication, the second has another predecessor"


@pytest.mark.parametrize("place", [0, 2, 6])
def test_a_statement_with_an_altered_signature_or_content_does_not_hold(exported: Exported, place: int) -> None:
    envelope = json.loads(exported.statements[place])["envelope"]
    signature = [{**envelope["signatures"][0], "sig": "AA" + envelope["signatures"][0]["sig"][2:]}]
    for forged in ({**envelope, "signatures": signature}, {**envelope, "payload": envelope["payload"].swapcase()}):
        statements = [edited(line, envelope=forged) if number == place else line for number, line in enumerate(exported.statements)]
        assert not exported.verified(statements=statements).holds


def test_statements_in_another_order_added_or_twice_do_not_hold(exported: Exported) -> None:
    first, second, *rest = exported.statements
    assert not exported.verified(statements=[second, first, *rest]).holds
    assert not exported.verified(statements=[*exported.statements, rest[-1]]).holds
    assert not exported.verified(statements=[*exported.statements, edited(rest[-1], sequence=10_000)]).holds
    assert not exported.verified(statements=["{", *exported.statements]).holds
    swapped = [edited(first, envelope=json.loads(second)["envelope"]), edited(second, envelope=json.loads(first)["envelope"]), *rest]
    assert not exported.verified(statements=swapped).holds


def test_a_published_policy_that_was_edited_in_the_export_does_not_hold(exported: Exported) -> None:
    first, *rest = exported.statements
    found = exported.verified(statements=[edited(first, policy=json.loads(first)["policy"].replace("0.05", "0.2")), *rest])
    assert "policy that was not exported, or was altered" in found.problems[0]


def test_an_entry_that_says_something_else_than_was_signed_does_not_hold_though_the_chain_does(exported: Exported) -> None:
    said = {'"role":"validator"': '"role":"risk_owner"', '"decided":"comment"': '"decided":"approve"', '"model_version":"1"': '"model_version":"2"'}
    for old, new in said.items():
        made, previous = [], GENESIS
        for line in exported.entries:
            changed = line.replace(old, new) if '"kind":"decision"' in line else line
            made.append(json.dumps(json.loads(changed) | {"previous": previous}, sort_keys=True, separators=(",", ":")))
            previous = hash_of(made[-1].encode())
        problems = exported.verified(entries=made).problems
        assert any("is not what the entry says" in problem for problem in problems), problems


def test_who_is_not_known_or_held_no_such_role_signed_nothing(exported: Exported) -> None:
    directory = exported.office.keeper.book.directory
    nobody = exported.verified(directory=Directory(schema="rai.people/v1"))
    assert len(nobody.problems) >= 7 and nobody.signatures == 0
    without = directory.model_copy(
        update={"people": tuple(person.model_copy(update={"roles": ()}) if person.id == "officer" else person for person in directory.people)}
    )
    assert sum("which this person is not" in problem for problem in exported.verified(directory=without).problems) == 4
