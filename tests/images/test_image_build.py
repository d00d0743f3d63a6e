"""Building: locked, verified, done once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from labkit import images
from labkit.images import builder, debian, lock, recipe, tools


def test_the_image_is_small_and_found_under_its_digest(built: images.BuiltImage, images_dir: Path) -> None:
    assert images.find("tiny", images_dir) == built
    assert images.installed(images_dir) == [built]
    assert built.disk == images_dir / "tiny" / built.digest[:16] / "disk.qcow2"
    assert built.disk.stat().st_size == built.size < 40e6


def test_a_second_build_finds_nothing_to_do(built: images.BuiltImage, images_dir: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    assert images.build("tiny", images_dir=images_dir, cache_dir=tmp_path / "empty") == built
    assert time.monotonic() - begin < 0.5


def test_the_same_lock_makes_the_same_disk(built: images.BuiltImage, cache_dir: Path, tmp_path: Path) -> None:
    assert images.build("tiny", images_dir=tmp_path, cache_dir=cache_dir).digest == built.digest


def test_what_a_killed_build_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "tiny" / ".work-killed"
    left.mkdir(parents=True)
    with builder.store.exclusive("tiny", tmp_path, print):
        assert not left.exists()


def test_nothing_is_built_before_the_first_build(tmp_path: Path) -> None:
    assert images.find("tiny", tmp_path) is None
    assert images.installed(tmp_path) == []


def test_an_unknown_image_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        images.ImageUnknown, match=r'no image named "huge", nor a file .*; there are: base-desktop,.* tiny, web'
    ):
        images.build("huge", images_dir=tmp_path, cache_dir=tmp_path)


def test_a_missing_tool_is_named_with_its_debian_package(tmp_path: Path) -> None:
    with pytest.raises(images.ToolMissing, match=r"mcopy.*'apt-get install .*mtools"):
        tools.require(search=str(tmp_path))


def only(name: str, **changes: object) -> lock.Lock:
    """A lock of one package, changed."""
    package = next(p for p in lock.load(recipe.load("tiny").lock_path).packages if p.name == name)
    return lock.Lock.of("tiny", [lock.LockedPackage(**{**package.__dict__, **changes})])


def gone() -> lock.Lock:
    return only("jq", version="0.9-1", path="pool/main/j/jq/jq_0.9-1_amd64.deb", sha256="1" * 64)


def test_a_package_with_another_hash_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(images.PackageCorrupt, match=r"^The package linux-image-cloud-amd64 .* SHA-256 of the lock"):
        debian.fetch(only("linux-image-cloud-amd64", sha256="0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_debian_dropped_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(images.PackageVanished, match=r"forky no longer has jq 0\.9-1; 'labkit images lock'"):
        builder.choose_packages(recipe.load("tiny"), gone(), tmp_path, print, strict=True)


@pytest.mark.slow
def test_unless_strict_todays_packages_replace_a_lock_that_is_gone_and_are_told(cache_dir: Path) -> None:
    told: list[str] = []
    used, files = builder.choose_packages(recipe.load("tiny"), gone(), cache_dir, told.append, strict=False)
    assert any(line.startswith("WARNING:   ~ jq 0.9-1 -> ") for line in told)
    assert all(files[package.name].stat().st_size == package.size for package in used.packages)
    (cache_dir / f"tiny-instead-of-{gone().digest[:16]}.json").unlink()


def test_a_damaged_lock_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text('{"packages": [')
    with pytest.raises(images.LockInvalid, match=r"lock\.json cannot be read .*labkit images lock"):
        lock.load(tmp_path / "lock.json")


def test_the_lock_names_every_package_with_its_hash_and_no_host() -> None:
    text = recipe.load("tiny").lock_path.read_text()
    for package in json.loads(text)["packages"]:
        assert len(package["sha256"]) == 64
        assert package["path"].startswith("pool/main/")
    assert "://" not in text


def test_a_refreshed_lock_says_what_it_changes() -> None:
    old, new = only("jq", version="1.0"), only("jq", version="2.0")
    assert lock.difference(old, new).lines() == ["~ jq 1.0 -> 2.0 (forky)"]
    assert lock.difference(None, new).lines() == ["+ jq 2.0 (forky)"]
    assert lock.difference(old, lock.Lock("tiny", ())).lines() == ["- jq 1.0 (forky)"]
    assert not lock.difference(old, old)


def test_of_dependencies_the_first_alternative_with_a_known_beginning_is_followed() -> None:
    fields = {"Depends": "libc6 (>= 2.38), debconf | libdebconf, libssl3t64 | libssl4", "Pre-Depends": "libgcc-s1"}
    assert debian.followed(fields, ("lib",)) == ["libc6", "libssl3t64", "libgcc-s1"]
