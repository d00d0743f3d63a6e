"""What every command pays before it does anything."""

from __future__ import annotations

import subprocess
import sys


def test_no_command_loads_a_validator_that_it_never_calls_and_it_can_be_loaded_all_the_same() -> None:
    program = "import sys, labkit.app; print([n for n in ('kubernetes_validate', 'jsonschema') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "nor is there a None, which would keep others from importing it"
