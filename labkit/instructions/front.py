"""Front matter: the keys and values between `---` at the head of a page. Its table is `FRONT`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from labkit import documents
from labkit.documents import Row, Wrong
from labkit.instructions.condition import condition
from labkit.instructions.source import Finding, Source

STEP_ID = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class Front:
    """A page's title (empty: the page's first heading), the minutes that it takes, the condition under which there is
    such a page (empty: always), and the steps and quizzes that open it."""

    title: str = ""
    minutes: int | None = None
    condition: str = ""
    requires: tuple[str, ...] = ()


def _title(text: str) -> str:
    if not text.strip() or "\n" in text.strip() or len(text) > 120:
        raise Wrong("wants one line of 1 to 120 characters")
    return text.strip()


def _minutes(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) == 0:
        raise Wrong(f"'{text}' is no whole number of minutes from 1 to 999")
    return int(text)


def _id(text: str) -> str:
    if not STEP_ID.fullmatch(text):
        raise Wrong(f"'{text}' is no id of a step or a quiz")
    return text


FRONT = (
    Row("title", documents.scalar(_title), default=""),
    Row("minutes", documents.scalar(_minutes)),
    Row("condition", documents.scalar(condition), default=""),
    Row("requires", documents.listing(documents.scalar(_id), least=1), default=()),
)


def front_of(source: Source) -> tuple[Front, list[Finding]]:
    """A page's front matter, and what is wrong in it (then it counts as empty)."""
    token = next((token for token in source.tokens if token.type == "front_matter"), None)
    if token is None:
        unclosed = source.lines[:1] == ["---"]
        return Front(), [(1, "the front matter has no end; close it with a line '---'")] if unclosed else []
    if not token.content.strip():
        return Front(), []
    try:
        front: Any = documents.read(token.content, documents.mapping(FRONT, Front), line_offset=1)
        return front, []
    except documents.Refused as refused:
        return Front(), [(finding.line, finding.sentence) for finding in refused.findings]
