"""The texts of a lab by what they are: pages, the same pages in other languages, and shared pieces to include.

1-start.md   de/1-start.md   shared/rules.md   de/shared/rules.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

LANGUAGE = re.compile(r"([a-z]{2})/(.+)")
SHARED = "shared/"
INCLUDE = re.compile(r"[ \t]*\{\{[ \t]*include[ \t]+\"([^\"\n]*)\"[ \t]*\}\}[ \t]*")


@dataclass(frozen=True)
class Text:
    """One page in one language: `name` is its file's name without folders, `file` with them."""

    name: str
    file: str
    language: str
    text: str

    @property
    def shared(self) -> bool:
        return SHARED in self.file


@dataclass(frozen=True)
class Texts:
    """All texts of a lab; `default` is the language of those that stand in no folder of a language."""

    default: str
    texts: tuple[Text, ...]

    @classmethod
    def of(cls, pages: Sequence[tuple[str, str]], default: str) -> Texts:
        """`pages` are relative file names and texts, as `load_pages` gives them, in reading order."""
        texts = []
        for file, text in pages:
            found = LANGUAGE.fullmatch(file)
            language, name = (found[1], found[2]) if found else (default, file)
            texts.append(Text(name.removeprefix(SHARED), file, language, text))
        return cls(default, tuple(texts))

    @property
    def languages(self) -> tuple[str, ...]:
        """The default one first."""
        others = {text.language for text in self.texts if text.language != self.default}
        return (self.default, *sorted(others))

    def pages(self, language: str) -> Iterator[Text]:
        """The pages in reading order, each in `language` where there is one, else in the default language."""
        own = {text.name: text for text in self.texts if text.language == language and not text.shared}
        for text in self.texts:
            if text.language == self.default and not text.shared:
                yield own.get(text.name, text)

    def shared(self, language: str) -> Mapping[str, str]:
        """The pieces to include by their names (`shared/rules.md`), with the same fall-back."""
        found: dict[str, str] = {}
        for wanted in (self.default, language):
            found |= {SHARED + text.name: text.text for text in self.texts if text.shared and text.language == wanted}
        return found


def included(text: str) -> str | None:
    """What a line includes; None where it includes nothing."""
    found = INCLUDE.fullmatch(text)
    return found[1] if found else None
