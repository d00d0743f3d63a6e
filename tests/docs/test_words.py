"""labkit's own words in other languages: each catalogue is whole, and compiled as it is written."""

from __future__ import annotations

from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from labkit.instructions.blocks import alert, disclosure
from labkit.languages import LOCALE, words

CATALOGUES = sorted(LOCALE.glob("*/LC_MESSAGES/labkit.po"))


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_is_compiled_as_it_is_written(path: Path) -> None:
    with path.open("rb") as file:
        catalogue = read_po(file)
    with path.with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)
    assert [message.id for message in catalogue if message.id and compiled.gettext(message.id) != message.string] == []
    assert [message.id for message in catalogue if not message.string] == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_every_word_that_is_put_into_pages_is_translated(path: Path) -> None:
    speak = words(path.parts[-3])
    shown = [*disclosure.KINDS.values(), *(kind.capitalize() for kind in alert.KINDS)]
    assert [word for word in shown if speak(word) == word] == []


def test_a_language_without_a_catalogue_is_english() -> None:
    assert words("xx")("Hint") == "Hint"
