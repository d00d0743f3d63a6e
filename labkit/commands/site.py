"""`labkit render`: a template's pages as a static site."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from labkit import settings
from labkit.errors import Invalid, SetupError

STYLE = Path(__file__).parent.parent / "static" / "site.css"


@click.command()
@click.argument("folder")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The folder to write to.")
@click.option("--language", default="", help="The language to write it in, where the lab has it.")
def render(folder: str, output: Path, language: str) -> None:
    """Write the pages of the template in FOLDER (a path, or a template's name) as HTML that needs no labkit.

    Hints and solutions can be opened freely; quizzes are there without their answers, variables without a learner's.
    """
    from labkit import instructions, linting
    from labkit.templates import find, load, values

    found = find(folder, settings.load().templates_dir)
    if faults := linting.lint(found):
        raise Invalid(faults)
    if not STYLE.exists():
        raise SetupError(f"{STYLE.name} has not been built; run `make install` in labkit's folder")
    template = load(found)
    model = instructions.render(
        instructions.load_pages(found),
        variables=values(template, learner="learner", lab="lab", seed=""),
        checks=template.checks,
        title=template.title,
        language=template.language,
        wanted=language,
        priced=False,
    )
    output.mkdir(parents=True, exist_ok=True)
    for name, text in instructions.site(model, template.description).items():
        (output / name).write_text(text, encoding="utf-8")
    shutil.copyfile(STYLE, output / STYLE.name)
    for name in instructions.media_files(found):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found / name, output / name)
    click.echo(f"{template.name}: {len(model.pages)} pages in {output}")
