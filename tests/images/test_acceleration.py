"""KVM is chosen for what it does, not for being there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.local.qemu.accel import BOOT_ID, NEEDED_RATE, choose, judge


@pytest.mark.parametrize(("rate", "name"), [(0.25e6, "tcg"), (NEEDED_RATE, "tcg"), (1000e6, "kvm")])
def test_the_measured_rate_decides(rate: float, name: str) -> None:
    assert judge(rate).name == name


def test_a_slow_kvm_is_explained_in_a_sentence() -> None:
    assert judge(0.25e6).reason == (
        "/dev/kvm opens, but a guest does only 0.25 million instructions a second: there is no hardware behind it."
    )


@pytest.mark.parametrize("word", ["kvm", "tcg"])
def test_an_override_wins_and_measures_nothing(tmp_path: Path, word: str) -> None:
    assert choose(tmp_path / "verdict", word).name == word
    assert not (tmp_path / "verdict").exists()


def test_an_unknown_override_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='"hvf" is unknown'):
        choose(tmp_path / "verdict", "hvf")


def test_the_verdict_on_this_machine_agrees_with_its_rate(tmp_path: Path) -> None:
    verdict = choose(tmp_path / "verdict")
    assert verdict.name == ("kvm" if verdict.rate is not None and verdict.rate > NEEDED_RATE else "tcg")
    assert verdict.reason.endswith(".") or "does not work" in verdict.reason


def test_the_verdict_is_kept_for_this_boot(tmp_path: Path) -> None:
    kept = {"boot": BOOT_ID.read_text().strip(), "name": "kvm", "reason": "Kept.", "rate": 1e9}
    (tmp_path / "verdict").write_text(json.dumps(kept))
    assert choose(tmp_path / "verdict").reason == "Kept."


@pytest.mark.parametrize("text", ['{"boot": "another", "name": "kvm", "reason": "Old.", "rate": 1e9}', "{", "[]"])
def test_the_verdict_of_another_boot_or_a_damaged_one_is_made_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "verdict").write_text(text)
    assert choose(tmp_path / "verdict").reason != "Old."
    assert json.loads((tmp_path / "verdict").read_text())["boot"] == BOOT_ID.read_text().strip()
