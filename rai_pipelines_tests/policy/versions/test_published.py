"""A published version never changes: neither its file nor another file under its name is believed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.load import policy_in_force, read_policy
from rai_pipelines.policy.versions.published import publish, published_version
from rai_pipelines.settings import Settings
from rai_pipelines_tests.policy.policies import changed, extension, override, written


def test_publishing_is_safe_to_repeat_and_gives_the_policy_back_whole(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, extension(overrides=[override("FAIR-S", tier="basic")])))
    first, new = publish(policy, tmp_path / "home")
    again, new_again = publish(policy, tmp_path / "home")
    assert (new, new_again, first) == (True, False, again)
    kept = published_version("lending@1.0.0", tmp_path / "home")
    assert kept is not None and kept.policy == policy and kept.digest == policy.digest


def test_a_file_that_says_otherwise_under_a_published_version_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, extension(overrides=[override("FAIR-S", tier="basic")]))
    settings = Settings(home=tmp_path / "home", policy_file=file)
    publish(policy_in_force(settings), settings.policies_path)
    written(tmp_path, extension(overrides=[override("FAIR-S", tier="basic", threshold={"equalized_odds_difference_max": 0.05})]))
    with pytest.raises(PolicyError, match=r"lending@1\.0\.0: was published on .* new version"):
        policy_in_force(settings)


def test_a_base_under_a_published_version_is_held_to_it_too(tmp_path: Path) -> None:
    publish(changed("FAIR-S", tier="basic"), tmp_path / "home")  # another rai-default@1.0.0 than the shipped one
    with pytest.raises(PolicyError, match=r"rai-default@1\.0\.0: was published"):
        read_policy(written(tmp_path, extension()), published=tmp_path / "home")


def test_a_published_version_can_be_extended_when_its_file_is_gone(tmp_path: Path) -> None:
    publish(changed("FAIR-S", tier="basic"), tmp_path / "home")  # another policy than the one that is shipped now
    kept = published_version("rai-default@1.0.0", tmp_path / "home")
    assert kept is not None
    file = written(tmp_path, {**extension(), "extends": {"base": "rai-default@1.0.0", "digest": kept.digest}})
    assert read_policy(file, published=tmp_path / "home").control("FAIR-S").tier == "basic"  # type: ignore[union-attr]
    with pytest.raises(PolicyError, match="is not published here"):
        read_policy(file, published=tmp_path / "elsewhere")


def test_an_altered_record_is_not_believed(tmp_path: Path) -> None:
    publish(read_policy(), tmp_path)
    path = tmp_path / "published" / "rai-default" / "1.0.0.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["policy"]["statistics"]["alpha"] = 0.2
    path.chmod(0o644)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(PolicyError, match="altered"):
        read_policy(published=tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(published=tmp_path)


def test_of_two_publishers_at_once_one_wins(tmp_path: Path) -> None:
    policies = [read_policy(), changed("FAIR-S", tier="basic")]
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            publish(policies[number % 2], tmp_path)
            outcomes.append(policies[number % 2].digest)
        except PolicyError:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = published_version("rai-default@1.0.0", tmp_path)
    assert kept is not None
    assert sorted(outcomes) == sorted([kept.digest] * 4 + ["refused"] * 4)


@pytest.mark.parametrize("label", ["rai-default", "@1.0.0", "../x@1", "a/b@1.0.0"])
def test_a_name_that_leaves_the_folder_is_no_policy(tmp_path: Path, label: str) -> None:
    with pytest.raises(PolicyError, match="no published policy"):
        published_version(label, tmp_path)
