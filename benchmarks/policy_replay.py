"""How long a policy replay takes over many stored verdicts: `python -m benchmarks.policy_replay HOME [VERSIONS]`.

HOME is a home with at least one audited version; its newest evidence and verdict are copied under as many version numbers as asked for, each
under its own digest, into a store in a temporary folder, with excerpts as an audit leaves them. So all of it has the size that an audit makes,
and is read and verified as always. Told apart: from the excerpts, and (of a tenth of the versions) from the whole evidence.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rai_pipelines.clock import utc_today
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.evidence.model import Evidence
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.policy.checks.registry import reads
from rai_pipelines.policy.excerpts import EXCERPTS, JudgedEvidence
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.rehearsal.replay import replay
from rai_pipelines.policy.rehearsal.stored import VERDICT
from rai_pipelines.policy_life.replay import parameters_under
from rai_pipelines.settings import Settings
from rai_pipelines.subjects.names import ModelVersion

STRICTER = {"impact_ratio": [0.97, 1.03], "equalized_odds_difference_max": 0.02}


def main() -> None:
    """Copy, replay, and print what it took."""
    home, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    settings = Settings(home=home)
    policy = read_policy()
    controls = tuple(item.model_copy(update={"threshold": STRICTER}) if item.id == "FAIR-S" else item for item in policy.controls)
    proposed = policy.model_copy(update={"controls": controls})
    with tempfile.TemporaryDirectory() as folder:
        store = LocalEvidenceStore(Path(folder))
        size = copies(LocalEvidenceStore(settings.evidence_dir), store, count)
        versions = [ModelVersion.from_key(key) for key in store.folders()]
        parameters = parameters_under(proposed, settings)
        os.sync()  # what is still being written is not part of what is told
        print(f"{len(versions):,} versions with {size / 2**20:,.0f} MiB of evidence, excerpts and verdicts")
        for told, part, whole in (("excerpts", versions, False), ("whole evidence", versions[::10], True)):
            started = time.perf_counter()
            found = replay(proposed, part, store=store, day=utc_today(), parameters=parameters, whole_evidence=whole)
            seconds = time.perf_counter() - started
            each = 1000 * seconds / len(part)
            print(f"from {told}: {len(found.versions):,} stored verdicts replayed in {seconds:.1f} s, {each:.1f} ms each")
            print(f"{found.worse:,} get worse; flips: {found.flips}")


def copies(source: LocalEvidenceStore, target: LocalEvidenceStore, count: int) -> int:
    """`count` versions, each with the newest objects of one of `source`; returns the bytes written."""
    key = source.folders()[0]
    name, version = key.split("/")
    newest = {receipt.assessment: receipt for receipt in source.history(key)}
    objects = {kind: (source.root / "objects" / item.digest[7:9] / f"{item.digest[7:]}.json").read_bytes() for kind, item in newest.items()}
    excerpts = _excerpts(source, {kind: item.digest for kind, item in newest.items()}, name, version)
    objects = {**{kind: content for kind, content in objects.items() if kind != EXCERPTS}, EXCERPTS: excerpts}  # last: it names the others
    newest.setdefault(EXCERPTS, newest[VERDICT].model_copy(update={"assessment": EXCERPTS}))
    written = 0
    for number in range(1, count + 1):
        lines = []
        digests: dict[bytes, bytes] = {}
        for kind, content in objects.items():
            made = content.replace(f'"model_version":"{version}"'.encode(), f'"model_version":"{number}"'.encode())
            if kind == EXCERPTS:
                for old, new in digests.items():
                    made = made.replace(old, new)
            value = hashlib.sha256(made).hexdigest()
            path = target.root / "objects" / value[:2] / f"{value}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made)
            written += len(made)
            digests[newest[kind].digest.encode()] = f"sha256:{value}".encode()
            receipt = newest[kind].model_copy(update={"digest": f"sha256:{value}", "model_version": str(number)})
            lines.append(receipt.model_dump_json())
            latest = target.root / "latest" / name / str(number) / f"{kind}.json"
            latest.parent.mkdir(parents=True, exist_ok=True)
            latest.write_text(json.dumps(receipt.model_dump(mode="json")), encoding="utf-8")
        history = target.root / "history" / name / f"{number}.jsonl"
        history.parent.mkdir(parents=True, exist_ok=True)
        history.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


def _excerpts(source: LocalEvidenceStore, digests: Mapping[str, str], name: str, version: str) -> bytes:
    """As an audit makes them today, whatever version of this project audited the home."""
    found = {kind: source.get(digest, Evidence) for kind, digest in digests.items() if kind in reads()}
    return canonical_json(JudgedEvidence.of(found, digests, model_name=name, model_version=version))


if __name__ == "__main__":
    main()
