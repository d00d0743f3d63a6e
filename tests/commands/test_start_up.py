"""What every command pays before it does anything."""

from __future__ import annotations

import subprocess
import sys


def test_no_command_loads_a_validator_that_it_never_calls() -> None:
    program = "import sys, labkit.app; print([n for n in ('kubernetes_validate', 'jsonschema') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_validator_can_be_imported_all_the_same() -> None:
    program = "import labkit.app, kubernetes_validate; print(kubernetes_validate.latest_version())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1.")
