"""Launches that are taken: what they lead to, and what is remembered of them."""

from __future__ import annotations

import pytest

from tests.lti.browser import Browser
from tests.lti.platform import MockPlatform


@pytest.mark.parametrize("message", ["launch-student", "launch-teacher"])
def test_a_recorded_launch_leads_to_a_clean_address(browser: Browser, platform: MockPlatform, message: str) -> None:
    answer = browser.launch(platform, message)
    assert (answer.status_code, answer.headers["Location"].count("/")) == (303, 3)
    assert browser.get(answer.headers["Location"]).status_code == 200
