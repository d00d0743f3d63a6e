"""Every notebook runs from top to bottom, against real machines, and leaves nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.home import Home, new_home

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    found = new_home()
    yield found
    found.end()


def said_in(notebook: nbformat.NotebookNode, stream: str) -> str:
    """What the cells wrote to standard output or error."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output["text"] for output in outputs if output.get("name") == stream)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_ends_its_lab(path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    assert said_in(notebook, "stderr") == ""
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in shown)
    assert home.leftovers() == []


def test_no_notebook_is_kept_with_outputs() -> None:
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells]
    assert NOTEBOOKS
    assert [cell for cell in cells if cell.get("outputs")] == []


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/teach.md"])
def test_the_example_of_a_page_runs(page: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    text = (Path(__file__).parent.parent.parent / page).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(block) for block in blocks])
    assert blocks
    NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
