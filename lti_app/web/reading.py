"""A template's pages, to be read before anybody works on them: as `labkit render` writes them."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath

from flask import Response, make_response

from labkit.instructions import PageModel, load_pages, render, site
from labkit.templates import Template, media_file, values


def model_of(template: Template) -> PageModel:
    """The pages for nobody in particular, without prices."""
    return render(
        load_pages(template.folder),
        variables=values(template, learner="learner", lab="lab", seed=""),
        checks=template.checks,
        title=template.title,
        language=template.language,
        priced=False,
    )


def shown(template: Template, file: str) -> Response:
    """One file of a template's site: a page, its style, or one of its media. Raises NotFound."""
    pages = {**site(model_of(template), template.description), "site.css": None}
    if file not in pages:
        return media(file, media_file(template.folder, file).read_bytes())
    text = pages[file]
    if text is None:
        answer = make_response("", 303)
        answer.headers["Location"] = "/static/site.css"
        return answer
    return make_response(text)


def media(name: str, content: bytes) -> Response:
    """A file of the instructions. A picture with scripts in it (SVG), opened by itself, runs none."""
    answer = make_response(content)
    answer.content_type = mimetypes.guess_type(PurePosixPath(name).name)[0] or "application/octet-stream"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return answer
