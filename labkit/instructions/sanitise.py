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
    *("strong", "sub", "sup", "u", "var"),
}
TARGET = r"[a-z][a-z0-9-]{0,62}(:[a-z0-9-]{1,63})?"
VALUES = {
    ("a", "href"): re.compile(r"https?://.+", re.IGNORECASE | re.DOTALL),
    ("a", "title"): re.compile(r".*", re.DOTALL),
    ("abbr", "title"): re.compile(r".*", re.DOTALL),
    ("button", "data-action"): re.compile("run|type|open"),
    ("button", "data-target"): re.compile(TARGET),
    ("button", "type"): re.compile("button"),
    ("code", "data-copy"): re.compile("yes|no"),
    ("details", "open"): re.compile(""),
    ("img", "alt"): re.compile(r".*", re.DOTALL),
    ("img", "height"): re.compile("[0-9]{1,4}"),
    ("img", "src"): re.compile(r"media/(?!.*\.\.)[A-Za-z0-9._/-]+"),
    ("img", "title"): re.compile(r".*", re.DOTALL),
    ("img", "width"): re.compile("[0-9]{1,4}"),
    ("ol", "start"): re.compile("[0-9]{1,9}"),
    ("pre", "data-action"): re.compile("run|type"),
    ("pre", "data-copy"): re.compile("yes|no"),
    ("pre", "data-lang"): re.compile(r"[A-Za-z0-9+#._-]{1,40}"),
    ("pre", "data-target"): re.compile(TARGET),
    ("td", "colspan"): re.compile("[0-9]{1,2}"),
    ("td", "rowspan"): re.compile("[0-9]{1,2}"),
    ("th", "colspan"): re.compile("[0-9]{1,2}"),
    ("th", "rowspan"): re.compile("[0-9]{1,2}"),
}
"""What an attribute of a tag may hold; whatever else is dropped."""

CLASSES = {
    "button": {"lk-action"},
    "details": {"lk-hint", "lk-solution"},
    "div": {"lk-alert", "lk-note", "lk-tip", "lk-important", "lk-warning", "lk-caution"},
    "p": {"lk-alert-title"},
    "pre": {"lk-code"},
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
    clean_content_tags={"script", "style", "template", "title", "textarea", "iframe", "noscript", "svg", "math"},
    link_rel="noopener noreferrer",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https"},
)


def sanitise(html: str) -> str:
    """`html` with nothing in it but what the tables above allow."""
    return CLEANER.clean(html).strip()
