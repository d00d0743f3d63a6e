"""labkit's own words in other languages, by gettext: the catalogues are `labkit/locale/LANGUAGE/LC_MESSAGES/labkit.mo`.

English is what stands in the code. `make words` collects and compiles. Imports nothing of ours.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import cache
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"


@cache
def words(language: str) -> Callable[[str], str]:
    """What gives labkit's own words in `language`; the English ones where there are no others."""
    return gettext.translation("labkit", LOCALE, languages=[language], fallback=True).gettext
