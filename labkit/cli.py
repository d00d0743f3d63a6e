"""The command `labkit`. Its commands are entry points of the group `labkit.commands`, loaded when they are used."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

import click

from labkit.errors import LabkitError
from labkit.settings import SettingsError


class Commands(click.Group):
    """A group that finds its commands among the installed packages: lti_app and others add theirs the same way."""

    def _found(self) -> dict[str, EntryPoint]:
        return {found.name: found for found in entry_points(group="labkit.commands")}

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(self._found())

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        found = self._found().get(name)
        return found.load() if found else None

    def invoke(self, context: click.Context) -> object:
        """Run a command: what labkit refuses is one sentence and exit status 1, never a traceback."""
        try:
            return super().invoke(context)
        except (LabkitError, SettingsError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labkit")
def main() -> None:
    """Labs of real machines for learners: start them, open them, check them, end them.

    Begin with `labkit doctor`, then `labkit start hello-lab`.
    """


if __name__ == "__main__":
    sys.exit(main(prog_name="labkit"))
