"""terminal and desktop: minutes to build, minutes to boot where a processor is emulated. Run with -m slow."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from bare_machine import JsonLines, Machine, wait_for
from PIL import Image

from labkit import images

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
BOOT = 1200.0
OUTPUT = Path(__file__).parent.parent.parent / "test-output"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the images are: of this user where they are built already, else for these tests alone."""
    given = os.environ.get("LABKIT_IMAGES_DIR")
    return Path(given) if given else tmp_path_factory.mktemp("images")


@contextmanager
def booted(name: str, home: Path, cache_dir: Path, folder: Path) -> Iterator[Machine]:
    image = images.build(name, images_dir=home, cache_dir=cache_dir)
    user_data = {
        "hostname": "alpha",
        "users": [{"name": "student", "plain_text_passwd": "s3cret", "lock_passwd": False, "shell": "/bin/sh"}],
        "write_files": [
            {"path": "/etc/labkit/ttyd.secret", "content": "s3cret", "permissions": "0600"},
            {"path": "/etc/labkit/terminal-user", "content": "student"},
        ],
        "runcmd": ["echo ran > /srv/ran"],
    }
    machine = Machine(image.disk, folder, user_data, "instance-id: i-1\n", memory=1024, processors=2)
    try:
        machine.serial.expect(f"labkit: {name} is ready", seconds=BOOT)
        yield machine
    finally:
        machine.end()


def run(agent: JsonLines, command: str) -> str:
    """What a command says, run by the guest agent."""
    began = agent.ask("guest-exec", path="/bin/sh", arg=["-c", command], **{"capture-output": True})["return"]
    assert isinstance(began, dict)

    def ended() -> dict[str, object] | None:
        status = agent.ask("guest-exec-status", pid=began["pid"])["return"]
        return status if isinstance(status, dict) and status["exited"] else None

    output = wait_for(command, ended, 120).get("out-data", "")
    return subprocess.run(["base64", "-d"], input=str(output), capture_output=True, text=True, check=True).stdout


def test_terminal_is_a_machine_of_a_lab(home: Path, cache_dir: Path, tmp_path: Path) -> None:
    with (
        booted("terminal", home, cache_dir, tmp_path) as machine,
        closing(JsonLines(machine.folder / "agent")) as agent,
    ):
        assert run(agent, "hostname; id -un student; cat /srv/ran").split() == ["alpha", "student", "ran"]
        page = run(agent, "curl -s -o /dev/null -o /dev/null -w '%{http_code} ' localhost:7681/s3cret/ localhost:7681/")
        assert page.split() == ["200", "404"]
        assert run(agent, "systemctl is-system-running").strip() == "running"
        assert run(agent, "for tool in git vim nano curl python3 man tmux; do command -v $tool; done").count("\n") == 7
        assert int(run(agent, "df -BM --output=size / | tail -1").strip().rstrip("M")) > 7000


def test_desktop_shows_its_desktop(home: Path, cache_dir: Path, tmp_path: Path) -> None:
    with booted("desktop", home, cache_dir, tmp_path) as machine, closing(JsonLines(machine.folder / "agent")) as agent:
        wait_for("the panel", lambda: run(agent, "pgrep -u student tint2") or None, 300)
        run(agent, "runuser -u student -- env DISPLAY=:0 setsid lxterminal >/dev/null 2>&1 &")
        wait_for("a terminal", lambda: run(agent, "pgrep -u student lxterminal") or None, 300)
        picture = wait_for("icons and a window on the wallpaper", lambda: desktop_of(machine), 300)
        OUTPUT.mkdir(exist_ok=True)
        shutil.copy(picture, OUTPUT / "desktop.png")


def desktop_of(machine: Machine) -> Path | None:
    """The screen where it shows a wallpaper (many colours), icons' white names, and a black terminal in the middle."""
    picture = machine.screen()
    screen = Image.open(picture).convert("RGB")
    colours = screen.getcolors(1 << 24) or []
    icons = {colour for _, colour in screen.crop((0, 0, 120, 400)).getcolors(1 << 24) or []}
    middle = screen.getpixel((screen.width // 2, screen.height // 2 + 80))
    return picture if len(colours) > 1000 and (255, 255, 255) in icons and middle == (0, 0, 0) else None
