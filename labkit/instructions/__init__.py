"""Instructions: Markdown to the page model and its sanitised HTML. Text in, values out; only `load` reads files.

Knows nothing of templates: names of variables, machines, checks and media are given to it.
"""

from labkit.instructions.faults import faults, untranslated
from labkit.instructions.load import load_pages, media_files
from labkit.instructions.model import HtmlPart, Page, PageModel, StepPart
from labkit.instructions.questions import Question, grade
from labkit.instructions.render import render
from labkit.instructions.site import site

__all__ = [
    "HtmlPart",
    "Page",
    "PageModel",
    "Question",
    "StepPart",
    "faults",
    "grade",
    "load_pages",
    "media_files",
    "render",
    "site",
    "untranslated",
]
