"""Where the kernel or the container allows less, the model still runs, each lost measure is named, and pickles are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from rai_pipelines_tests.model_host import bad_models as bad

REFUSED = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_admin"  # of the new user namespace alone
SCRIPT = """
import json, os, sys
from pathlib import Path
import pandas as pd
from rai_pipelines.errors import ModelError
from rai_pipelines.model_host import host
from rai_pipelines.model_host.confined_scan import scan_confined
from rai_pipelines.model_host.isolation import HostLimits
from rai_pipelines_tests.subjects.test_model_files import datasheet

limits = HostLimits(request_s=5, memory_bytes=2**31, processes=40)  # PyTorch, where it is installed, takes one of them
frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
told = {}
left = ("memory", "network")  # as if no more were needed: to see what these measures hold back alone
with host.HostedModel(Path(sys.argv[1]) / "skops", datasheet(), limits=limits) as hosted:
    told["lacking"] = [measure.name for measure in hosted.isolation.lacks()]
    told["network"] = hosted.isolation.details()["network"]["how"]
    told["score"] = hosted.score(frame).tolist()
report, where = scan_confined(Path(sys.argv[1]))
told["scan"] = {file.path: file.verdict.value for file in report.files}
told["scan_lacks"] = [measure.name for measure in where.isolation.lacks()]
for name, needed in (("refused", host.NEEDED_FOR_PROGRAMS), ("connects", left), ("forks", left), ("deaf", left)):
    host.NEEDED_FOR_PROGRAMS = needed
    try:
        with host.HostedModel(Path(sys.argv[1]) / name, datasheet(), trust_pickles=True, limits=limits) as hosted:
            hosted.predict(frame)
    except ModelError as error:
        told[name] = str(error)
commands = {entry: Path(f"/proc/{entry}/cmdline").read_bytes() for entry in os.listdir("/proc") if entry.isdigit()}
told["left"] = [entry for entry, command in commands.items() if b"-m\\0rai_pipelines.model_host.server" in command]
print(json.dumps(told))
"""


@pytest.mark.slow
def test_without_namespaces_data_formats_run_pickles_do_not_and_nothing_is_left_over(tmp_path: Path) -> None:
    if not shutil.which("unshare") or not shutil.which("setpriv") or subprocess.run(["unshare", "-Urpf", "true"], check=False).returncode:
        pytest.skip("needs unshare, setpriv and a user namespace to refuse namespaces in")
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    model = LogisticRegression().fit(frame, [0, 1, 1])
    (tmp_path / "skops").mkdir()
    skops.io.dump(model, tmp_path / "skops" / "model.skops")
    for name, bad_model in (("refused", bad.Model()), ("connects", bad.Connects(80)), ("forks", bad.Forks()), ("deaf", bad.HangsDeaf())):
        bad.write_pickle(tmp_path / name, bad_model)
    ended = subprocess.run(
        ["unshare", "-Urpf", "--mount-proc", "sh", "-c", f"{REFUSED} {sys.executable} -c \"$0\" {tmp_path}", SCRIPT],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-1000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert {"file_system", "processes"} <= set(told["lacking"])
    assert told["network"].startswith("no sockets (system call filter)")
    assert told["scan"]["skops/model.skops"] == "clean" and {"file_system", "processes"} <= set(told["scan_lacks"])
    assert told["score"] == model.predict_proba(frame)[:, 1].tolist()
    assert "a pickle may not run here, where it is not confined: file_system" in told["refused"]
    assert "no connection (PermissionError" in told["connects"]
    assert "started more than 40 processes" in told["forks"]
    assert "did not answer within 5 s" in told["deaf"]
    assert told["left"] == []
