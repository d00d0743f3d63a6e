"""`labkit render`: a lab's pages as files, read by a real browser under their own policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser

from labkit.commands.site import render
from labkit.errors import Invalid
from tests.support.text_lab import LAB

PAGE = """# One

:::hint {cost=5}
Opened **freely**.
:::

:::quiz {#q}
Which?

- [x] the right one
- [ ] another
:::

![A dot](media/dot.svg)

```sh {run=box}
ls
```
"""
DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>document.title = "owned"</script></svg>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"lab.yaml": LAB, "instructions/1.md": PAGE, "instructions/de/1.md": PAGE.replace("One", "Eins")}
    for name, text in {**files, "media/dot.svg": DOT}.items():
        (tmp_path / "text" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "text" / name).write_text(text)
    return tmp_path / "text"


def run(folder: Path, *more: str) -> None:
    CliRunner().invoke(render, [str(folder), "-o", str(folder.parent / "site"), *more], catch_exceptions=False)


def test_a_site_is_read_without_labkit_and_runs_nothing(folder: Path, browser: Browser) -> None:
    run(folder)
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.goto((folder.parent / "site/index.html").as_uri())
    page.get_by_role("link", name="One").click()
    page.get_by_text("Hint").click()
    page.get_by_text("Opened freely.").wait_for()
    assert page.locator("img").evaluate("image => image.naturalWidth") == 9
    assert (page.title(), complaints) == ("One · A lab of text", [])
    assert "data-answer" in page.content()
    page.close()


def test_a_site_is_written_in_the_language_that_was_asked_for(folder: Path) -> None:
    run(folder, "--language", "de")
    text = (folder.parent / "site/page-1.html").read_text()
    assert '<html lang="de"' in text
    assert "Eins" in text
    assert "Lösung" in text or "Hinweis" in text


def test_a_lab_with_faults_is_not_written(folder: Path) -> None:
    (folder / "instructions/1.md").write_text("No title.")
    with pytest.raises(Invalid, match="the page has no title"):
        run(folder)
    assert not (folder.parent / "site").exists()
