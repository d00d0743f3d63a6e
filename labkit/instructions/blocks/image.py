"""Images and films: files of the template's folder `media/`, each with words for those who do not see it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.instructions.attributes import unknown, written
from labkit.instructions.blocks.heading import plain_text
from labkit.instructions.blocks.variable import in_code
from labkit.instructions.source import Block, Env, Finding, Known, Source, walk
from labkit.wording import did_you_mean

PATH = re.compile(r"media/(?!.*\.\.)[A-Za-z0-9._/-]+")
SIZE = re.compile("[0-9]{1,4}")
FILMS = (".mp4", ".webm")
CAPTIONS = re.compile(PATH.pattern + r"\.vtt")
OWN = ("src", "alt", "title")
"""Attributes that the parser itself sets."""


def _render(_: object, tokens: Sequence[Token], index: int, __: object, env: Env) -> str:
    token = tokens[index]
    words = plain_text(token.children or (), env)
    if not PATH.fullmatch(str(token.attrs["src"])):
        return escape(words)
    film = str(token.attrs["src"]).endswith(FILMS)
    given = {
        "src": str(token.attrs["src"]),
        "aria-label" if film else "alt": words,
        "title": in_code(str(token.attrs.get("title", "")), env),
    }
    given |= {name: str(token.attrs[name]) for name in ("width", "height") if name in token.attrs}
    html = "".join(f' {name}="{escape(text)}"' for name, text in given.items() if text or name == "alt")
    if not film:
        return f"<img{html}>"
    captions = str(token.attrs.get("captions", ""))
    track = f'<track kind="captions" src="{captions}" default="">' if CAPTIONS.fullmatch(captions) else ""
    return f'<video controls="" preload="none"{html}>{track}</video>'


def _enable(md: MarkdownIt) -> None:
    md.add_render_rule("image", _render)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for placed in walk(source):
        if placed.token.type == "image":
            yield from ((placed.line, text) for text in _wrong(placed.token, known))


def _wrong(token: Token, known: Known) -> Iterator[str]:
    path = unquote(str(token.attrs["src"]))
    if not token.content.strip():
        yield f"the image '{path}' has no words for those who do not see it; write ![what it shows]({path})"
    if not path.startswith("media/"):
        yield f"the image '{path}' is not in the template; put the file into media/ and write media/NAME"
    elif not PATH.fullmatch(path):
        yield f"the file name '{path}' holds other characters than letters, digits, '.', '_', '-' and '/'; rename it"
    elif path not in known.media:
        yield f"there is no file '{path}'{did_you_mean(path, known.media)}"
    given = {name: value for name, value in written(token).items() if name not in OWN}
    yield from unknown("image", given)
    captions = str(given.get("captions", ""))
    if captions and (not CAPTIONS.fullmatch(captions) or captions not in known.media):
        yield f"captions: there is no file '{captions}' (media/NAME.vtt){did_you_mean(captions, known.media)}"
    for name in ("width", "height"):
        if name in given and not SIZE.fullmatch(str(given[name])):
            yield f"{name}={given[name]} is no number of pixels from 0 to 9999"


IMAGE = Block("image", _enable, _findings)
