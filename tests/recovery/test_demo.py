"""Ctrl-C ends the demo and all that it started: pressed twice, and where a shell has had it ignored, too."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.support.home import LABKIT, eventually, new_home


@pytest.mark.slow
def test_ctrl_c_pressed_twice_in_mid_start_leaves_nothing() -> None:
    home = new_home()
    command = ["sh", "-c", f"trap '' INT; exec {LABKIT} demo --port 18950"]
    demo = subprocess.Popen(command, env=home.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if line.startswith("Open http://"):
                break
        home.json("start", "hello-lab", "--no-wait")
        for _ in eventually("a machine"):
            if home.machines():
                break
        demo.send_signal(signal.SIGINT)
        for line in demo.stdout:
            if line.startswith("Stopping"):
                break
        demo.send_signal(signal.SIGINT)
        said = demo.stdout.read()
        assert demo.wait(60) == 0, said
        assert "Still stopping" in said
        assert home.processes() == []
    finally:
        demo.kill()
        demo.wait()
        demo.stdout.close()
        home.end()
