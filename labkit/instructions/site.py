"""A lab's pages as HTML files, to be read without labkit: no script, nothing from elsewhere. Text in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from labkit.instructions.model import HtmlPart, Page, PageModel, StepPart
from labkit.languages import words

STYLE = "site.css"
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'"
SHELL = """<!doctype html>
<html lang="{language}" class="site">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<link rel="stylesheet" href="{style}">
</head>
<body><article>
{body}
</article></body>
</html>
"""


def site(model: PageModel, description: str) -> Mapping[str, str]:
    """The files of the site, by name: `index.html` and one for each page. `model` was rendered without prices."""
    links = "".join(f'<li><a href="{_file(page)}">{escape(page.title)}</a></li>\n' for page in model.pages)
    about = f"<h2>{escape(model.title)}</h2>\n<p>{escape(description)}</p>\n<ol>\n{links}</ol>"
    files = {"index.html": _shell(model.language, model.title, about)}
    back = f'<p><a href="index.html">{escape(words(model.language)("Contents"))}</a></p>'
    for page in model.pages:
        body = "\n".join([back, f"<h2>{escape(page.title)}</h2>", *map(_part, page.parts), back])
        files[_file(page)] = _shell(page.language, f"{page.title} · {model.title}", body)
    return files


def _file(page: Page) -> str:
    return f"page-{page.id}.html"


def _shell(language: str, title: str, body: str) -> str:
    return SHELL.format(language=escape(language), policy=POLICY, title=escape(title), style=STYLE, body=body)


def _part(part: HtmlPart | StepPart) -> str:
    if isinstance(part, HtmlPart):
        return part.html
    points = f'<span class="points">{part.points}</span>' if part.points else ""
    head = f'<div class="step-top"><h3>{escape(part.title)}</h3>{points}</div>'
    return f'<section class="step" id="{escape(part.id)}">{head}\n{part.html}</section>'
