"""The image.yaml files in the pages are good ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labkit.images import image_yaml

DOCS = Path(__file__).parent.parent.parent / "docs"
BLOCKS = [
    (page, text)
    for page in ("how-to/build-an-image.md", "reference/images.md")
    for text in re.findall(r"^```yaml\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("page", "text"), BLOCKS, ids=[f"{page}-{text.split()[1]}" for page, text in BLOCKS])
def test_every_image_in_the_pages_has_no_fault(page: str, text: str, tmp_path: Path) -> None:
    for source in re.findall(r"source: (\S+?)}", text):
        (tmp_path / source).mkdir()
    (tmp_path / "image.yaml").write_text(text)
    assert image_yaml.load(tmp_path / "image.yaml").name == text.split()[1]


def test_every_image_of_labkit_is_in_the_reference() -> None:
    page = (DOCS / "reference/images.md").read_text()
    assert [name for name in image_yaml.bundled() if f"| `{name}` |" not in page] == []
