"""Private folders: this user's alone, or a sentence."""

from pathlib import Path

import pytest

from labkit.errors import SetupError
from labkit.folders import make_private


def test_a_private_folder_is_made_and_one_that_is_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("new", "open"):
        assert make_private(tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_link_that_somebody_put_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="is not a folder of yours"):
        make_private(tmp_path / "link")
