"""Settings: variables over the file over defaults, and what is wrong with them said in a sentence."""

from pathlib import Path

import pytest

from labkit.settings import SettingsError, load


def test_defaults_follow_the_xdg_folders() -> None:
    settings = load({"HOME": "/home/ada"})
    assert settings.state_dir == Path("/home/ada/.local/state/labkit")
    assert settings.images_dir == Path("/home/ada/.local/state/labkit/images")
    assert settings.runtime_dir == Path("/home/ada/.local/state/labkit/run")


def test_sockets_are_found_whatever_session_asks_and_their_paths_stay_short() -> None:
    assert load({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/1"}).runtime_dir == load({"HOME": "/h"}).runtime_dir
    long = load({"HOME": "/h/" + "x" * 80}).runtime_dir
    assert len(str(long)) <= 72
    assert load({"HOME": "/h", "LABKIT_RUNTIME_ROOT": "/r"}).runtime_dir.parent == Path("/r")


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "labkit.toml").write_text('accel = "tcg"\nidle_minutes = 5\n')
    settings = load({"HOME": "/h", "LABKIT_CONFIG": str(tmp_path / "labkit.toml"), "LABKIT_IDLE_MINUTES": "7.5"})
    assert (settings.accel, settings.idle_minutes) == ("tcg", 7.5)


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "labkit.toml").write_text("acel = 1\n")
    with pytest.raises(SettingsError, match="unknown setting acel"):
        load({"HOME": "/h", "LABKIT_CONFIG": str(tmp_path / "labkit.toml")})


def test_a_number_that_is_none_is_named() -> None:
    with pytest.raises(SettingsError, match="gateway_port: 'many' is not a number"):
        load({"HOME": "/h", "LABKIT_GATEWAY_PORT": "many"})


def test_settings_handed_on_as_variables_are_the_same_again() -> None:
    settings = load({"HOME": "/h", "LABKIT_STATE_DIR": "/s", "LABKIT_ACCEL": "tcg"})
    assert load(settings.environment()) == settings


def test_two_state_folders_never_share_their_sockets() -> None:
    one, two = (load({"HOME": "/h", "LABKIT_STATE_DIR": path}) for path in ("/a", "/b"))
    assert one.runtime_dir != two.runtime_dir
