"""A browser for tests, as far as launches need one: it keeps cookies, and posts what platforms have it post."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from tests.lti.platform import TOOL, MockPlatform


class Browser:
    """One browser before one application."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, base_url=TOOL, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.client.post(path, base_url=TOOL, **more)

    def ask(self, path: str, **params: Any) -> TestResponse:
        """As the script of our own page asks."""
        return self.post(path, json=params, headers={"X-Labkit": "1", "Origin": TOOL})

    def login(self, platform: MockPlatform, **changed: str | None) -> TestResponse:
        """The sign-in that a platform begins; the answer after our own redirect."""
        given = {"iss": platform.url, "client_id": platform.client_id, "login_hint": "4", "lti_deployment_id": "1"}
        form = {**given, "target_link_uri": f"{TOOL}/lti/launch", "lti_message_hint": '{"cmid":4,"l":"x y"}'} | changed
        answer = self.post("/lti/login", data={name: value for name, value in form.items() if value is not None})
        if answer.status_code == 302 and answer.headers["Location"].startswith("/lti/login"):
            return self.get(answer.headers["Location"])
        return answer

    def begin(self, platform: MockPlatform, **changed: str | None) -> dict[str, str]:
        """Sign in; what the platform is asked."""
        answer = self.login(platform, **changed)
        assert answer.status_code == 302, answer.text
        return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}

    def launch(self, platform: MockPlatform, message: str = "launch-student", **changed: Any) -> TestResponse:
        """A whole launch: the answer to the platform's message."""
        asked = self.begin(platform)
        token = platform.sign(platform.message(message, asked["nonce"], **changed))
        return self.send(asked["state"], token)

    def send(self, state: str, token: str, **more: str) -> TestResponse:
        """The form that a platform's page posts."""
        return self.post("/lti/launch", data={"state": state, "id_token": token, **more})

    def enter(self, platform: MockPlatform, message: str = "launch-student", **changed: Any) -> str:
        """A launch that is taken: the address below which its pages are."""
        answer = self.launch(platform, message, **changed)
        assert answer.status_code == 303, answer.text
        return "/".join(answer.headers["Location"].split("/")[:3]) + "/"
