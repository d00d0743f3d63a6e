"""The built browser parts. Where the gateway is in front, it answers for them itself."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Response, send_from_directory

from lti_app.guards import anybody, guarded

blueprint = Blueprint("files", __name__)
_STATIC = str(files("labkit") / "static")


@blueprint.get("/static/<name>")
@guarded(anybody)
def static(name: str) -> Response:
    """One built file; the browser asks each time whether it is still the same."""
    response = send_from_directory(_STATIC, name, max_age=0)
    response.headers["Cache-Control"] = "no-cache"
    return response
