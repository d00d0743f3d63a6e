"""What exists is documented, and what is documented is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from labkit.cli import main
from labkit.settings import Settings

ROOT = Path(__file__).parent.parent.parent
COMMANDS = (ROOT / "docs/reference/commands.md").read_text()


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


@pytest.mark.parametrize(("words", "command"), list(commands(main)))
def test_every_command_and_option_is_in_the_reference(words: str, command: click.Command) -> None:
    assert f"labkit {words}" in COMMANDS
    options = [option for found in command.params if isinstance(found, click.Option) for option in found.opts]
    assert [option for option in options if option.startswith("--") and option not in COMMANDS] == []
    assert command.help, "a command says what it does"


@pytest.mark.parametrize("setting", [field.name for field in fields(Settings)])
def test_every_setting_is_in_the_reference(setting: str) -> None:
    assert f"`{setting}`" in COMMANDS


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md", ROOT / "ARCHITECTURE.md"])
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"^(`{3,}).*?^\1", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", prose)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_command_named_in_the_pages_exists() -> None:
    known = {words.split()[0] for words, _ in commands(main)}
    pages = [*ROOT.glob("docs/how-to/*.md"), ROOT / "README.md", ROOT / "docs/reference/commands.md"]
    named = {word for page in pages for word in re.findall(r"`?labkit ([a-z-]+)\b(?=[^`\n]*`)", page.read_text())}
    assert named - known == set()
