"""Models that behave badly, in real processes: each ends as an error that names what it did, and nothing outside is touched."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from rai_pipelines.errors import ModelError, ModelMissing
from rai_pipelines.evidence.canonical import canonical_json
from rai_pipelines.model_host import host
from rai_pipelines.model_host.host import HostedModel, hosted_loader
from rai_pipelines.model_host.isolation import NEEDED_FOR_PROGRAMS, HostLimits, Isolation, Measure
from rai_pipelines.model_host.wire import pack_message
from rai_pipelines.subjects.model_files import load_model_files
from rai_pipelines_tests.model_host import bad_models as bad
from rai_pipelines_tests.subjects.test_model_files import datasheet

SMALL = HostLimits(start_s=60, request_s=20, memory_bytes=2**30, processes=40, file_bytes=32 * 2**20, restarts=1)
WITH_TORCH = replace(SMALL, memory_bytes=2 * 2**30)  # where PyTorch is installed, scikit-learn loads it with skops
FRAME = pd.DataFrame({"a": [0.5, 1.5, 2.5]})


WITHOUT_NAMESPACES = ("memory", "environment", "new_privileges")  # what holds everywhere; models of these tests mean no harm


@cache
def _refused() -> bool:
    """Whether the kernel or the container refuses namespaces to this user."""
    tried = "import ctypes; c = ctypes.CDLL(None); raise SystemExit(c.unshare(0x60020000) and c.unshare(0x70020000))"
    return subprocess.run([sys.executable, "-c", tried], check=False).returncode != 0


@pytest.fixture(autouse=True)
def _bad_models_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no namespaces, pickles are refused; what else holds bad models back can be tested all the same."""
    if _refused():
        monkeypatch.setattr(host, "NEEDED_FOR_PROGRAMS", WITHOUT_NAMESPACES)


@pytest.fixture
def namespaces() -> None:
    """For what only an own network, file system, or list of processes can hold back."""
    if _refused():
        pytest.skip("the kernel or the container refuses namespaces to this user")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300)})
    return frame.assign(y=(frame.a + 0.3 * rng.normal(size=300) > 0).astype(int))


def started(tmp_path: Path, model: Any, *, limits: HostLimits = SMALL) -> HostedModel:
    return HostedModel(bad.write_pickle(tmp_path / "model", model), datasheet(), trust_pickles=True, limits=limits)


def complaint(tmp_path: Path, model: Any, *, limits: HostLimits = SMALL) -> str:
    with started(tmp_path, model, limits=limits) as hosted, pytest.raises(ModelError) as raised:
        hosted.predict(FRAME)
    return str(raised.value)


def descendants() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def gone(pid: int) -> bool:
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_hosted_forest_and_booster_answer_bit_for_bit_as_in_process(tmp_path: Path, table: pd.DataFrame) -> None:
    forest = RandomForestClassifier(n_estimators=20, random_state=1, n_jobs=1).fit(table[["a", "b"]], table.y)
    booster = lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1).fit(table[["a", "b"]], table.y)
    for name in ("forest", "booster"):
        (tmp_path / name).mkdir()
    skops.io.dump(forest, tmp_path / "forest" / "model.skops")
    booster.booster_.save_model(tmp_path / "booster" / "model.lgb")
    for name, flavor in (("forest", "skops"), ("booster", "lightgbm")):
        here = load_model_files(tmp_path / name, datasheet())
        hosted = hosted_loader()(tmp_path / name, datasheet())
        assert (hosted.flavor, hosted.features) == (flavor, ("a", "b"))
        for own, other in ((here.predict(table), hosted.predict(table)), (here.score(table), hosted.score(table))):
            assert own is not None and other is not None
            assert own.dtype == other.dtype
            assert own.tobytes() == other.tobytes()
        hosted.close()  # type: ignore[attr-defined]


def test_a_trusted_benign_pickle_loads_after_its_scan_and_an_untrusted_one_does_not(tmp_path: Path, table: pd.DataFrame) -> None:
    model = LogisticRegression().fit(table[["a", "b"]], table.y)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(ModelError, match="is a pickle"):
        hosted_loader(limits=SMALL)(tmp_path, datasheet())
    hosted = hosted_loader(trust_pickles=True, limits=SMALL)(tmp_path, datasheet())
    np.testing.assert_array_equal(hosted.score(table), model.predict_proba(table[["a", "b"]])[:, 1])


def test_a_dangerous_pickle_is_never_loaded_whatever_the_operator_trusts(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pkl").write_bytes(b"cos\nsystem\n(S'touch " + str(proof).encode() + b"'\ntR.")
    with pytest.raises(ModelError, match=r"model\.pkl: is dangerous.*os\.system"):
        hosted_loader(trust_pickles=True, limits=SMALL)(tmp_path / "model", datasheet())
    assert not proof.exists()


@pytest.mark.usefixtures("namespaces")
def test_a_dangerous_pickle_that_is_loaded_all_the_same_leaves_no_trace_outside(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pkl").write_bytes(
        b"cos\nsystem\n(S'touch " + str(proof).encode() + b"; mkdir -p " + str(tmp_path).encode() + b" && touch " + str(proof).encode() + b"'\ntR."
    )
    with pytest.raises(ModelError, match="has no predict"):
        HostedModel(tmp_path / "model", datasheet(), trust_pickles=True, limits=SMALL)
    assert not proof.exists()


def test_a_pickle_is_not_run_where_a_needed_measure_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Isolation(tuple(Measure(name, name != "network", "refused") for name in NEEDED_FOR_PROGRAMS))
    monkeypatch.setattr(host, "read_isolation", lambda header: bare)
    monkeypatch.setattr(host, "NEEDED_FOR_PROGRAMS", NEEDED_FOR_PROGRAMS)
    with pytest.raises(ModelError, match=r"not confined: network: refused"):
        started(tmp_path, bad.Model())


@pytest.mark.usefixtures("namespaces")
def test_every_measure_is_in_force_here_and_reads_as_evidence(tmp_path: Path) -> None:
    with started(tmp_path, bad.Model()) as hosted:
        lacking = [measure for measure in hosted.isolation.lacks() if os.getuid() == 0 or measure.name != "user"]
        assert lacking == []
        assert {"network", "file_system", "read_only_model", "process_count", "memory"} <= set(hosted.isolation.details())
        assert canonical_json(hosted.isolation.details())
        np.testing.assert_array_equal(hosted.predict(FRAME), [1, 1, 1])


def test_a_model_that_hangs_is_ended_in_time_with_all_that_it_started(tmp_path: Path) -> None:
    quick = HostLimits(request_s=1, memory_bytes=2**30, restarts=0)
    for model in (bad.Hangs(), bad.HangsDeaf()):
        with started(tmp_path, model, limits=quick) as hosted:
            pid = hosted._process.pid  # type: ignore[union-attr]
            with pytest.raises(ModelError, match="did not answer within 1 s"):
                hosted.predict(FRAME)
            assert gone(pid)
            assert str(pid) not in descendants()
            with pytest.raises(ModelError, match="ended 1 times and is not started again"):
                hosted.predict(FRAME)


def test_a_request_ends_at_the_deadline_of_whoever_asks_though_the_limits_allow_more(tmp_path: Path) -> None:
    with started(tmp_path, bad.Hangs()) as hosted:
        hosted.deadline = time.monotonic() + 0.5
        asked = time.monotonic()
        with pytest.raises(ModelError, match="did not answer within"):
            hosted.predict(FRAME)
        assert time.monotonic() - asked < 5 < SMALL.request_s


def test_a_crash_names_the_signal_and_the_next_request_starts_the_model_anew(tmp_path: Path) -> None:
    with started(tmp_path, bad.CrashesFirst()) as hosted:
        with pytest.raises(ModelError, match="crashed with signal SIGSEGV"):
            hosted.predict(FRAME)
        many = pd.DataFrame({"a": np.arange(20.0)})
        assert hosted.predict(many).sum() == 20
        with pytest.raises(ModelError, match="SIGSEGV"):
            hosted.predict(FRAME)
        with pytest.raises(ModelError, match="ended 2 times and is not started again"):
            hosted.predict(many)
        hosted.allow_restarts()  # for the next assessment, which may ask nothing that it dies of
        assert hosted.predict(many).sum() == 20


def test_an_exit_names_its_code_and_the_cleaned_end_of_what_was_printed(tmp_path: Path) -> None:
    said = complaint(tmp_path, bad.Exits())
    assert "ended itself with code 7" in said
    assert "last words" in said
    assert said.isprintable()


@pytest.mark.usefixtures("namespaces")
def test_a_fork_bomb_stays_below_the_process_limit_and_is_swept_away(tmp_path: Path) -> None:
    with started(tmp_path, bad.Forks()) as hosted:
        pid = hosted._process.pid  # type: ignore[union-attr]
        with pytest.raises(ModelError, match=r"made \d{1,2} \(Resource temporarily unavailable\)"):
            hosted.predict(FRAME)
    assert gone(pid)


def test_what_a_model_prints_reaches_neither_the_protocol_nor_the_disk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with started(tmp_path, bad.Prints()) as hosted:
        np.testing.assert_array_equal(hosted.predict(FRAME), [1, 1, 1])
        assert len(hosted._process.log) <= 2000  # type: ignore[union-attr]
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("namespaces")
def test_files_that_a_model_writes_are_bounded_together(tmp_path: Path) -> None:
    assert "wrote 3" in complaint(tmp_path, bad.FillsTheDisk()), "32 MB are allowed; more or fewer were written"


def test_memory_is_bounded_for_one_process(tmp_path: Path) -> None:
    assert "needs more than 1 GiB of memory" in complaint(tmp_path, bad.Allocates())


@pytest.mark.slow
def test_memory_is_bounded_for_all_processes_together(tmp_path: Path) -> None:
    assert "was ended: it needs more than 1 GiB of memory" in complaint(tmp_path, bad.AllocatesInChildren())


def test_a_pickle_that_could_not_be_scanned_is_not_loaded_whatever_the_operator_trusts(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"only text")
    with pytest.raises(ModelError, match="could not be scanned to its end"):
        hosted_loader(trust_pickles=True, limits=SMALL)(tmp_path, datasheet())


@pytest.mark.slow
def test_processor_time_is_bounded(tmp_path: Path) -> None:
    said = complaint(tmp_path, bad.Spins(), limits=HostLimits(request_s=60, memory_bytes=2**30, cpu_s=4))
    assert "more than 4 s of processor time" in said


@pytest.mark.parametrize(
    ("model", "said"), [(bad.AnswersNothing(), "predicts no value for 3 of 3 rows"), (bad.AnswersTooMuch(), r"predicts shape (3, 3)")]
)
def test_wrong_answers_are_told_as_in_process(tmp_path: Path, model: bad.Model, said: str) -> None:
    assert said in complaint(tmp_path, model)


def test_the_network_is_out_of_reach(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        assert "no connection" in complaint(tmp_path, bad.Connects(port))


@pytest.mark.usefixtures("namespaces")
def test_secrets_of_the_environment_are_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAI_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "DATABASE_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    said = complaint(tmp_path, bad.ReadsEnvironment())
    assert "PATH" in said
    assert not any(word in said for word in ("hunter2", "SECRET", "PASSWORD", "RAI_", "AWS"))


@pytest.mark.usefixtures("namespaces")
def test_nothing_of_the_auditor_can_be_written_or_seen(tmp_path: Path) -> None:
    home, folder = Path.home(), tmp_path / "model"
    package = str(Path(bad.__file__).parent)
    places = [str(folder / "left"), str(home / "rai-left"), "/model/left", "/usr/left", "/etc/left", f"{sys.prefix}/left"]
    said = complaint(tmp_path, bad.Writes([*places, "/tmp/allowed"]))
    assert "|/tmp/allowed|" in said
    assert not any(f"|{place}|" in said for place in places[1:]), said
    assert [path.name for path in folder.iterdir()] == ["model.pkl"]
    assert not (home / "rai-left").exists() and not Path("/tmp/allowed").exists()
    assert "sees [|/model/model.pkl|]" in complaint(
        tmp_path / "again", bad.Reads([str(tmp_path), package, "/etc/passwd", "/etc/shadow", str(home / ".ssh"), "/model/model.pkl"])
    )


@pytest.mark.usefixtures("namespaces")
def test_the_model_is_an_unprivileged_user_among_its_own_processes(tmp_path: Path) -> None:
    said = complaint(tmp_path, bad.SeesUsers())
    assert "processes 2 CapEff: 0000000000000000 True" in said
    assert os.getuid() != 0 or "user True" in said


@pytest.mark.parametrize(
    "content",
    [
        b"no message at all, but long enough to be taken for one",
        b"RAI1" + (2**31).to_bytes(4, "big") + bytes(8),
        b"RAI1" + (2).to_bytes(4, "big") + (2**40).to_bytes(8, "big") + b"{}",
        b"".join(pack_message({"array": {"kind": "numbers", "type": "<f8"}}, [b"not arrow"])),
    ],
    ids=["noise", "long header", "long payload", "no arrow"],
)
def test_a_forged_answer_is_refused_and_the_process_ended(tmp_path: Path, content: bytes) -> None:
    with started(tmp_path, bad.Forges(content)) as hosted:
        pid = hosted._process.pid  # type: ignore[union-attr]
        with pytest.raises(ModelError, match="the model's process: sent "):
            hosted.predict(FRAME)
        assert gone(pid)


def test_work_near_the_model_runs_inside_and_gives_plain_tables_back(tmp_path: Path, table: pd.DataFrame) -> None:
    skops.io.dump(LogisticRegression().fit(table[["a", "b"]], table.y), tmp_path / "model.skops")
    with HostedModel(tmp_path, datasheet(), limits=WITH_TORCH) as hosted:
        with pytest.raises(ValueError, match="no task"):
            hosted.run("os:system", {}, {})
        with pytest.raises(ModelError, match="fails in digest_of"):
            hosted.run("rai_pipelines.evidence.canonical:digest_of", {}, {"rows": pa.table({"x": [1]})})


def test_a_closed_model_and_an_absent_one_say_so(tmp_path: Path, table: pd.DataFrame) -> None:
    with started(tmp_path, bad.Model()) as hosted:
        pass
    with pytest.raises(ModelError, match="was closed"):
        hosted.predict(FRAME)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelMissing, match="no model file"):
        HostedModel(tmp_path / "empty", datasheet(), limits=SMALL)


def test_the_process_ends_with_the_object_and_its_private_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    hosted = started(tmp_path, bad.Model())
    pid = hosted._process.pid  # type: ignore[union-attr]
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    del hosted
    gc.collect()
    assert gone(pid)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def auditor(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    bad.write_pickle(tmp_path / "model", bad.Hangs())
    script = (
        "import sys, pathlib, pandas as pd\n"
        "from rai_pipelines.model_host import host\n"
        "from rai_pipelines_tests.subjects.test_model_files import datasheet\n"
        f"host.NEEDED_FOR_PROGRAMS = {host.NEEDED_FOR_PROGRAMS!r}\n"
        "hosted = host.HostedModel(pathlib.Path(sys.argv[1]), datasheet(), trust_pickles=True)\n"
        "print(hosted._process.pid, flush=True)\n"
        "hosted.predict(pd.DataFrame({'a': [1.0]}))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "model")], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        yield process
        process.kill()


def test_a_model_does_not_outlive_an_auditor_that_is_killed(auditor: subprocess.Popen[str]) -> None:
    assert auditor.stdout is not None
    pid = int(auditor.stdout.readline())
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children, "the supervisor has no guard, so this test would show nothing"
    os.kill(auditor.pid, signal.SIGKILL)
    assert gone(pid)
    assert all(gone(int(child)) for child in children)
