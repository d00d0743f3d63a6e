"""The cluster: the only part that uses the `kubernetes` client."""

from __future__ import annotations

import sys

_VALIDATOR = "kubernetes_validate"


def _import_client() -> None:
    """Import `kubernetes` without the validator that it takes in where one is installed.

    The embedded engine's schemas come with that package; its import brings jsonschema's checkers of formats, one of
    which builds a grammar: over a second of every command's start, for a call (`dynamic.validate`) that nobody makes.
    """
    if _VALIDATOR in sys.modules or "kubernetes" in sys.modules:
        return
    sys.modules[_VALIDATOR] = None  # type: ignore[assignment]  # what Python's import takes for "not there"
    try:
        import kubernetes  # noqa: F401
    finally:
        del sys.modules[_VALIDATOR]


_import_client()
