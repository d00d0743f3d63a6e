"""What an operator's own jupyterhub_config.py says beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config.loader import PyFileConfigLoader

OURS = Path(__file__).parents[2] / "deploy/jupyterhub_config.py"
OWN = """
c.JupyterHub.services.append({"name": "culler"})
c.JupyterHub.load_roles.append({"name": "culler", "services": ["culler"]})
c.Spawner.environment.update({"THEIRS": "1"})
"""


@pytest.mark.parametrize("before", [True, False])
def test_what_the_operator_has_stands_beside_what_labkit_adds(tmp_path: Path, *, before: bool) -> None:
    parts = [OWN, f"load_subconfig({str(OURS)!r})\n"]
    (tmp_path / "config.py").write_text("c = get_config()\n" + "".join(parts if before else parts[::-1]))
    found = PyFileConfigLoader("config.py", path=str(tmp_path)).load_config()
    services = found.JupyterHub.services.get_value([])
    assert {one["name"] for one in services} == {"culler", "labkit"}
    assert {one["name"] for one in found.JupyterHub.load_roles.get_value([])} == {"culler", "server", "user"}
    assert set(found.Spawner.environment.get_value({})) == {"THEIRS", "LABKIT_URL"}
