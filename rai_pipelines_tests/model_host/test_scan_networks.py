"""Archives of torch.export: numbers and JSON are clean, and a pickle among them is found."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rai_pipelines.model_host.scan import scan_model_files
from rai_pipelines.model_host.scan_parts import Verdict
from rai_pipelines_tests.subjects.test_pt2_archive import FOLDER, Runs, changed


def verdict(folder: Path) -> tuple[Verdict, str]:
    (file,) = scan_model_files(folder).files
    assert file.format == "pt2"
    return file.verdict, "; ".join(file.reasons)


@pytest.mark.parametrize("name", ["binary.pt2", "three.pt2"])
def test_a_network_as_torch_export_writes_it_is_clean(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    assert verdict(tmp_path) == (Verdict.CLEAN, "")


@pytest.mark.parametrize("where", ["sample_inputs/model.pt", "/version", "data/extra.bin"])
def test_a_program_in_such_an_archive_is_dangerous(where: str, tmp_path: Path) -> None:
    program = pickle.dumps(Runs(tmp_path / "ran"))
    extra = {"archive/data/extra.bin": program} if where == "data/extra.bin" else {}
    changed(tmp_path, "binary.pt2", lambda name, content: program if name.endswith(where) else content, extra)
    assert verdict(tmp_path)[0] is Verdict.DANGEROUS
    assert not (tmp_path / "ran").exists()


def test_a_weight_that_is_said_to_be_pickled_is_read_as_a_pickle(tmp_path: Path) -> None:
    program = pickle.dumps(Runs(tmp_path / "ran"))

    def pickled(name: str, content: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        return program if name.endswith("/weight_0") else content

    changed(tmp_path, "binary.pt2", pickled)
    assert verdict(tmp_path)[0] is Verdict.DANGEROUS
