"""`%load_ext labkit`: `%lab start|stop|status|show|check|…` and `%%machine web`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from labkit.errors import LabkitError
from labkit.jupyter import lab as api
from labkit.wording import did_you_mean

_WORDS: dict[str, tuple[str, Callable[..., object]]] = {
    "start": ("TEMPLATE", lambda template: api.start(template) and None),
    "stop": ("", lambda: api.current().stop()),
    "status": ("", lambda: api.current().machines),
    "show": ("", lambda: api.current().show()),
    "step": ("STEP", lambda step: api.step(step)),
    "check": ("STEP", lambda step: api.current().check(step)),
    "progress": ("", lambda: api.current().progress),
    "pause": ("", lambda: api.current().pause()),
    "resume": ("", lambda: api.current().resume()),
    "reset": ("[MACHINE]", lambda machine=None: api.current().reset(machine)),
    "extend": ("[MINUTES]", lambda minutes="60": api.current().extend(float(minutes))),
    "list": ("", lambda: api.labs()),
    "templates": ("", lambda: api.templates()),
}
"""What `%lab WORD` does, and what it takes."""
_STEPS = ("step", "check")
_CALL = re.compile(r"""\b(\w+)\.(start|step|check)\(["']([\w-]*)$""")
"""`labkit.start("`, `labkit.step("` or `lab.check("`, up to the cursor."""


@magics_class
class LabMagics(Magics):
    """The two magics."""

    @line_magic
    def lab(self, line: str) -> object:
        """%lab start TEMPLATE | stop | status | show | step STEP | check STEP | progress | pause | resume |
        reset [MACHINE] | extend [MINUTES] | list | templates

        All but start, list and templates are about your only running lab.
        """
        word, *rest = line.split() or ["status"]
        if word not in _WORDS:
            raise UsageError(f"%lab has no {word!r}{did_you_mean(word, _WORDS)}")
        takes, act = _WORDS[word]
        optional = takes.startswith("[")
        if len(rest) > bool(takes) or (takes and not optional and not rest):
            raise UsageError(f"Use: %lab {word} {takes}".rstrip())
        try:
            return act(*rest)
        except ValueError as error:
            raise UsageError(f"Use: %lab {word} {takes}") from error

    @cell_magic
    def machine(self, line: str, cell: str) -> None:
        """%%machine NAME: run the cell in that machine of your only running lab, and show what it says.

        It is run by the machine's shell. Fails where the last command does, so that "run all" stops there.
        """
        if len(line.split()) != 1:
            raise UsageError("Use: %%machine NAME")
        done = api.current().machines[line.strip()].run(cell)
        if not done.ok:
            raise LabkitError(f"the cell ended with exit status {done.status} in machine {line.strip()}")


def _complete(_shell: object, event: Any) -> Iterator[str]:
    """What may come next on a line with %lab or %%machine."""
    words = event.line.split()
    if words[0].endswith("machine"):
        return iter(api.current().machines)
    if len(words) < 2 or (len(words) == 2 and event.symbol):
        return iter(_WORDS)
    known: dict[str, Callable[[], list[str]]] = {
        "start": lambda: list(api.templates()),
        "reset": lambda: list(api.current().machines),
        **dict.fromkeys(_STEPS, lambda: api.current()._ipython_steps_()),
    }
    return iter(known.get(words[1], list)())


def _quietly(shell: object, event: Any) -> list[str]:
    """As above; where nothing can be known, nothing is offered."""
    try:
        return list(_complete(shell, event))
    except LabkitError:
        return []


def _in_calls(shell: InteractiveShell) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """Completes the first argument of calls: templates and steps."""

    @context_matcher(identifier="labkit")  # type: ignore[untyped-decorator]
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        call = _CALL.search(context.text_until_cursor)
        if call is None:
            return {"completions": []}
        known = _named(shell.user_ns.get(call[1]), call[2])
        found = [SimpleCompletion(text=name, type="param") for name in known if name.startswith(call[3])]
        return {"completions": found, "matched_fragment": call[3], "suppress": bool(found)}

    return matcher  # type: ignore[no-any-return]


def _named(called: object, method: str) -> list[str]:
    """What may be named to a method of a lab, or of labkit itself; nothing where that cannot be known."""
    try:
        if isinstance(called, api.Lab):
            return called._ipython_steps_() if method in _STEPS else []
        if getattr(called, "__name__", "") != "labkit" or method == "check":
            return []
        return list(api.templates()) if method == "start" else api.current()._ipython_steps_()
    except LabkitError:
        return []


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext labkit` calls."""
    shell.register_magics(LabMagics)
    shell.Completer.custom_matchers.append(_in_calls(shell))
    for word in ("%lab", "%%machine"):
        shell.set_hook("complete_command", _quietly, str_key=word)  # type: ignore[no-untyped-call]
