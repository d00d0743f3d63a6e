"""Actions: attributes of ordinary code and text that make it something to click.

    ```bash {run=client}       `ls`{run=client confirm="Really?"}       [the site]{open=web:site}
    [Put it there]{upload=client file="media/a.conf" to="/etc/a.conf"}

A target is a machine, or one pane of it: `machine:pane`. To open, a pane has to be named. `confirm` asks first,
`interrupt=yes` presses Ctrl-C first, `max=1` lets it be clicked once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.attrs import attrs_plugin

from labkit.instructions.attributes import UNREADABLE, unknown, written
from labkit.instructions.model import Upload
from labkit.instructions.sanitise import TARGET
from labkit.instructions.source import Block, Env, Finding, Known, Placed, Source, walk
from labkit.wording import did_you_mean

CODE_ACTIONS = ("run", "type", "paste")
TEXT_ACTIONS = ("open", "focus", "upload")
PLACE = re.compile(r"/[^\0\n]{1,250}[^/\0\n]")
"""A path in a machine."""
OPTIONS = {"confirm": re.compile(".{1,200}"), "interrupt": re.compile("yes"), "max": re.compile("[1-9][0-9]?")}
"""What may stand beside an action, and what it may hold."""
BEHIND_TEXT = re.compile(r"\](\{[^{}]+\})")
"""Braces behind text in brackets, left as they were: the parser could not read them."""


def action_of(attributes: Mapping[str, object], actions: Sequence[str]) -> str:
    """The first of `actions` that `attributes` ask for, as HTML attributes with a space before them.

    Nothing where there is none, or for no machine.
    """
    given = ((name, str(attributes[name])) for name in actions if name in attributes)
    for name, target in given:
        if re.fullmatch(TARGET, target):
            wanted = {"action": name, "target": target}
            options = ((key, str(attributes[key])) for key in OPTIONS if key in attributes)
            wanted |= {key: value for key, value in options if OPTIONS[key].fullmatch(value)}
            return "".join(f' data-{key}="{escape(value)}"' for key, value in wanted.items())
    return ""


def button(action: str) -> str:
    """The beginning of what is clicked within a line of text."""
    return f'<button type="button" class="lk-action"{action}>'


def target_findings(attributes: Mapping[str, object], known: Known) -> Iterator[str]:
    """What is wrong with the targets of the actions in `attributes`."""
    given = [name for name in (*CODE_ACTIONS, *TEXT_ACTIONS) if name in attributes]
    for name, pattern in OPTIONS.items():
        if name in attributes and not given:
            yield f"'{name}' stands beside an action, for example {{run=machine {name}=…}}"
        elif name in attributes and not pattern.fullmatch(str(attributes[name])):
            yield f"{name}={attributes[name]} is not known; see the reference of actions"
    if len(given) > 1:
        yield f"has two actions, '{given[0]}' and '{given[1]}'; keep one"
    for name in given:
        machine, _, pane = str(attributes[name]).partition(":")
        if name == "open" and not pane:
            yield f"open={machine} names no pane; write open={machine or 'machine'}:pane"
        if name == "upload" and pane:
            yield f"upload={machine}:{pane} names a pane; files are put into machines: upload={machine}"
        if known.machines is None:
            continue
        if machine not in known.machines:
            yield f"{name}: there is no machine '{machine}'{did_you_mean(machine, known.machines)}"
        elif pane and pane not in known.machines[machine]:
            yield f"{name}: machine '{machine}' has no pane '{pane}'{did_you_mean(pane, known.machines[machine])}"


def _span_open(_: object, tokens: Sequence[Token], index: int, __: object, env: Env) -> str:
    attributes = tokens[index].attrs
    action = action_of(attributes, TEXT_ACTIONS)
    if action and "upload" in attributes:
        machine, file, path = (str(attributes.get(name, "")) for name in ("upload", "file", "to"))
        key = hashlib.sha256("\0".join((machine, file, path)).encode()).hexdigest()[:12]
        env["uploads"].append(Upload(key, env["page"], machine, file, path))
        action += f' data-upload="{key}"'
    return button(action) if action else "<span>"


def _upload_findings(attributes: Mapping[str, object], known: Known) -> Iterator[str]:
    """What is wrong with what stands beside `upload`."""
    file, path = (str(attributes.get(name, "")) for name in ("file", "to"))
    if "upload" not in attributes:
        yield from (f"'{name}' stands beside upload=machine" for name in ("file", "to") if name in attributes)
        return
    if file not in known.media:
        yield f"upload: there is no file '{file}'; write file=\"media/NAME\"{did_you_mean(file, known.media)}"
    if not PLACE.fullmatch(path):
        yield f"upload: '{path}' is no place in a machine; write to=\"/home/student/NAME\""


def _span_close(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    depth = 0
    for token in reversed(tokens[: index + 1]):
        depth += {"span_close": 1, "span_open": -1}.get(token.type, 0)
        if depth == 0:
            return "</button>" if action_of(token.attrs, TEXT_ACTIONS) else "</span>"
    return "</span>"


def _enable(md: MarkdownIt) -> None:
    md.use(attrs_plugin, spans=True)
    md.add_render_rule("span_open", _span_open)
    md.add_render_rule("span_close", _span_close)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for placed in walk(source):
        yield from ((placed.line, text) for text in _wrong(placed, known))


def _wrong(placed: Placed, known: Known) -> Iterator[str]:
    token, before = placed.token, placed.before
    if token.type == "span_open":
        yield from unknown("text", written(token))
        yield from target_findings(token.attrs, known)
        yield from _upload_findings(token.attrs, known)
        if not written(token):
            yield "the braces behind the text are empty; write for example {open=machine:pane}"
    follows = before is not None and before.type in ("code_inline", "span_close", "image", "link_close")
    if follows and token.type == "text" and token.content.startswith("{") and "}" in token.content:
        yield UNREADABLE.format(token.content[: token.content.index("}") + 1])
    if token.type == "text":
        yield from (UNREADABLE.format(found[1]) for found in BEHIND_TEXT.finditer(token.content))


ACTION = Block("action", _enable, _findings)
