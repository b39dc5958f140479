"""How long a policy replay takes over many stored verdicts: `python -m benchmarks.policy_replay HOME [VERSIONS]`.

HOME is a home with at least one audited version; its newest evidence and verdict are copied under as many version numbers as asked for, each
under its own digest, into a store in a temporary folder. So the evidence has the size that an audit makes; it is read and verified as always.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

from rai_pipelines.clock import utc_today
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.rehearsal.replay import newest_audit, replay
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
        started = time.perf_counter()
        found = replay(proposed, versions, store=store, day=utc_today(), today=newest_audit, parameters=parameters)
        seconds = time.perf_counter() - started
    print(f"{len(found.versions):,} stored verdicts ({size / 2**20:,.0f} MiB of evidence and verdicts) replayed in {seconds:.1f} s")
    print(f"{found.worse:,} get worse; flips: {found.flips}")


def copies(source: LocalEvidenceStore, target: LocalEvidenceStore, count: int) -> int:
    """`count` versions, each with the newest objects of one of `source`; returns the bytes written."""
    key = source.folders()[0]
    name, version = key.split("/")
    newest = {receipt.assessment: receipt for receipt in source.history(key)}
    objects = {kind: (source.root / "objects" / item.digest[7:9] / f"{item.digest[7:]}.json").read_bytes() for kind, item in newest.items()}
    written = 0
    for number in range(1, count + 1):
        lines = []
        for kind, content in objects.items():
            made = content.replace(f'"model_version":"{version}"'.encode(), f'"model_version":"{number}"'.encode())
            value = hashlib.sha256(made).hexdigest()
            path = target.root / "objects" / value[:2] / f"{value}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made)
            written += len(made)
            receipt = newest[kind].model_copy(update={"digest": f"sha256:{value}", "model_version": str(number)})
            lines.append(receipt.model_dump_json())
            latest = target.root / "latest" / name / str(number) / f"{kind}.json"
            latest.parent.mkdir(parents=True, exist_ok=True)
            latest.write_text(json.dumps(receipt.model_dump(mode="json")), encoding="utf-8")
        history = target.root / "history" / name / f"{number}.jsonl"
        history.parent.mkdir(parents=True, exist_ok=True)
        history.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return written


if __name__ == "__main__":
    main()
