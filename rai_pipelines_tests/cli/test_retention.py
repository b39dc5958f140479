"""Holds and deletions from a terminal: what is held is shown, what is early is refused, and a name that nothing is kept about is said."""

from __future__ import annotations

from rai_pipelines.evidence.model import Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.settings import load_settings
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.cli.conftest import Rai
from rai_pipelines_tests.conftest import evidence


def test_a_hold_is_shown_until_it_is_lifted_and_a_misspelt_one_is_said(rai: Rai) -> None:
    made = evidence("bias_assessment", model_name="credit loans", model_version="1")
    store = LocalEvidenceStore(load_settings().evidence_dir)
    store.put(made, kind="bias_assessment", folder=ModelVersion("credit loans", "1").key, status=Status.COMPLETE)
    held = rai("retention", "hold", "credit loans", "--reason", "proceedings 4711")
    assert (held.code, held.out, held.err) == (0, "credit loans is held\n", "")
    misspelt = rai("retention", "hold", "credit-loans", "--reason", "proceedings 4711")
    assert "Nothing is kept about a model of the name 'credit-loans' yet" in misspelt.err
    assert "held: credit loans: proceedings 4711" in rai("retention", "show").out
    assert rai("retention", "lift", "credit loans").code == 0
    assert "held: credit loans" not in rai("retention", "show").out
    assert "is not held" in rai("retention", "lift", "credit loans").could_not()


def test_what_has_to_be_kept_is_not_deleted(rai: Rai) -> None:
    assert "A document is kept for 10 years" in rai("retention", "delete", "document", "--before", "2026-01-01").could_not()
    assert rai("retention", "delete", "ledger").code == 2
    assert rai("retention", "delete", "log").out == "0 receipts, 0 objects, the words of 0 decisions and 0 messages are deleted\n"
