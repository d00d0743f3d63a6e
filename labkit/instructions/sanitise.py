"""The one sanitiser: every piece of HTML that leaves this part goes through it. A list of what is allowed, no more.

Authors may write HTML in their pages, and blocks make their own; both pass here, so that no block has to be trusted.
"""

from __future__ import annotations

import re

import nh3
from pygments.token import STANDARD_TYPES

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "div", "span", "blockquote", "pre", "details", "summary"),
    *("ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("a", "abbr", "b", "button", "code", "del", "em", "i", "img", "ins", "kbd", "mark", "s", "samp", "small"),
    *("strong", "sub", "sup", "u", "var", "video", "track"),
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msup", "msub", "msubsup"),
    *("mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose"),
}
TARGET = r"[a-z][a-z0-9-]{0,62}(:[a-z0-9-]{1,63})?"
FILE = r"media/(?!.*\.\.)[A-Za-z0-9._/-]+"
NOTE = r"fn(ref)?[0-9]+(-[0-9]+)?"
NUMBER = r"[0-9]{1,4}(\.[0-9]{1,2})?"
ACTIONS = {
    "action": re.compile("run|type|paste|open|focus|upload"),
    "target": re.compile(TARGET),
    "confirm": re.compile(r"[^\n]{1,200}"),
    "interrupt": re.compile("yes"),
    "max": re.compile("[1-9][0-9]?"),
    "upload": re.compile("[0-9a-f]{12}"),
}
"""What an action's data may hold."""
VALUES = {
    ("a", "download"): re.compile(""),
    ("a", "href"): re.compile(rf"https?://.+|{FILE}|#fn(ref)?[0-9]+(-[0-9]+)?", re.IGNORECASE | re.DOTALL),
    ("a", "id"): re.compile(NOTE),
    ("a", "target"): re.compile("_blank"),
    ("a", "title"): re.compile(r".*", re.DOTALL),
    ("abbr", "title"): re.compile(r".*", re.DOTALL),
    ("button", "type"): re.compile("button"),
    ("code", "data-copy"): re.compile("yes|no"),
    ("details", "data-cost"): re.compile(NUMBER),
    ("details", "data-hint"): re.compile(r"[A-Za-z0-9._:-]{1,80}"),
    ("details", "open"): re.compile(""),
    ("div", "data-kind"): re.compile("single|multiple|text|number|free|file"),
    ("div", "data-points"): re.compile(NUMBER),
    ("div", "data-quiz"): re.compile(r"[A-Za-z0-9._-]{1,80}"),
    ("img", "alt"): re.compile(r".*", re.DOTALL),
    ("img", "height"): re.compile("[0-9]{1,4}"),
    ("img", "src"): re.compile(FILE),
    ("img", "title"): re.compile(r".*", re.DOTALL),
    ("img", "width"): re.compile("[0-9]{1,4}"),
    ("li", "data-answer"): re.compile("[0-9a-f]{12}"),
    ("li", "id"): re.compile(NOTE),
    ("math", "display"): re.compile("inline|block"),
    ("mi", "mathvariant"): re.compile("normal"),
    ("mfrac", "linethickness"): re.compile("0"),
    **{
        ("mo", name): re.compile("true|false")
        for name in ("stretchy", "fence", "largeop", "movablelimits", "symmetric")
    },
    **{("mo", name): re.compile(r"[0-9.]{1,8}(em)?") for name in ("lspace", "rspace", "minsize", "maxsize")},
    ("mover", "accent"): re.compile("true"),
    ("mspace", "width"): re.compile(r"-?[0-9.]{1,8}em"),
    **{(tag, "displaystyle"): re.compile("true|false") for tag in ("mtable", "mstyle")},
    ("ol", "start"): re.compile("[0-9]{1,9}"),
    ("pre", "data-copy"): re.compile("yes|no"),
    ("pre", "data-lang"): re.compile(r"[A-Za-z0-9+#._-]{1,40}"),
    ("td", "colspan"): re.compile("[0-9]{1,2}"),
    ("td", "rowspan"): re.compile("[0-9]{1,2}"),
    ("th", "colspan"): re.compile("[0-9]{1,2}"),
    ("th", "rowspan"): re.compile("[0-9]{1,2}"),
    ("track", "default"): re.compile(""),
    ("track", "kind"): re.compile("captions"),
    ("track", "src"): re.compile(FILE),
    ("video", "aria-label"): re.compile(r".*", re.DOTALL),
    ("video", "controls"): re.compile(""),
    ("video", "height"): re.compile("[0-9]{1,4}"),
    ("video", "preload"): re.compile("none"),
    ("video", "src"): re.compile(FILE),
    ("video", "title"): re.compile(r".*", re.DOTALL),
    ("video", "width"): re.compile("[0-9]{1,4}"),
    **{(tag, f"data-{name}"): pattern for tag in ("button", "pre") for name, pattern in ACTIONS.items()},
}
"""What an attribute of a tag may hold; whatever else is dropped."""

CLASSES = {
    "button": {"lk-action"},
    "details": {"lk-hint", "lk-solution"},
    "div": {"lk-alert", "lk-note", "lk-tip", "lk-important", "lk-warning", "lk-caution", "lk-footnotes", "lk-quiz"},
    "p": {"lk-alert-title"},
    "pre": {"lk-code"},
    "ul": {"lk-answers"},
    "span": {name for name in STANDARD_TYPES.values() if name},
    "td": {"lk-left", "lk-center", "lk-right"},
    "th": {"lk-left", "lk-center", "lk-right"},
}


def _attributes() -> dict[str, set[str]]:
    allowed: dict[str, set[str]] = {}
    for tag, name in VALUES:
        allowed.setdefault(tag, set()).add(name)
    return allowed


def _value(tag: str, name: str, value: str) -> str | None:
    pattern = VALUES.get((tag, name))
    # `class` and `rel` are the cleaner's own business: it has filtered or set them already.
    return value if pattern is None or pattern.fullmatch(value) else None


CLEANER = nh3.Cleaner(
    tags=TAGS,
    attributes=_attributes(),
    attribute_filter=_value,
    allowed_classes=CLASSES,
    clean_content_tags={"script", "style", "template", "title", "textarea", "iframe", "noscript", "svg"},
    link_rel="noopener noreferrer",
    url_schemes={"http", "https"},
)


def sanitise(html: str) -> str:
    """`html` with nothing in it but what the tables above allow."""
    return CLEANER.clean(html).strip()
