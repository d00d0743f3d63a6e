"""The table of calls, and what is made from it: the codec, the document, the errors."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from labkit import wire
from labkit.errors import ClusterUnavailable, Conflict, Fault, Invalid, LabkitError, NotFound
from labkit.instructions import Page, PageModel, Question, StepPart
from labkit.instructions.questions import Choice
from labkit.model import Answer, CheckResult, LabState, LabStatus, MachineState, MachineStatus, Progress, Verdict
from labkit.orchestrator.labs import Labs
from labkit.remote.calls import NOT_REMOTE, TABLE, Api
from labkit.remote.problems import STATUS, problem, raised
from lti_app.api.document import document, reference

RESULT = CheckResult("a", Verdict.PASSED, "<b>well</b>", 1.5, True, score=0.5)
PROGRESS = Progress(frozenset({"a"}), {"a": RESULT}, {"h": 1.0}, {"q": (Answer("q", ("x",), None, None, 2.0),)})
STATUS_OF_LAB = LabStatus(
    "l", "t", "T", LabState.RUNNING, 1.0, "w", "u", (MachineStatus("box", MachineState.PAUSED),), wait=0.5
)
QUESTION = Question("q", "p", "single", 2, choices=(Choice("k1", "yes", right=True, feedback="SECRET"),))
PAGE = Page("p", "P", 5, (StepPart("a", "A", 1, False, "<p>SECRET"),), questions=(QUESTION,))
MODEL = PageModel("T", "en", (PAGE, replace(PAGE, id="locked", requires=("q",), questions=())))


def test_every_call_of_labs_is_a_row_or_says_why_not() -> None:
    calls = {name for name, _ in inspect.getmembers(Api, inspect.isfunction) if not name.startswith("_")}
    assert {call.name for call in TABLE} | set(NOT_REMOTE) == calls
    assert set(NOT_REMOTE) <= {name for name, _ in inspect.getmembers(Labs, inspect.isfunction)}


@pytest.mark.parametrize("call", TABLE, ids=lambda call: call.name)
def test_a_row_asks_for_the_arguments_of_its_call_and_never_for_a_principal(call: Any) -> None:
    assert {*call.in_path, *call.rest.model_fields} == set(call.signature.parameters)
    assert "principal" not in call.signature.parameters


@pytest.mark.parametrize(("kind", "value"), [(Progress, PROGRESS), (LabStatus, STATUS_OF_LAB), (PageModel, MODEL)])
def test_what_is_sent_is_what_arrives(kind: Any, value: object) -> None:
    assert wire.from_json(kind, wire.to_json(kind, value)) == value


def test_a_key_of_a_newer_version_is_passed_over_and_a_missing_one_is_a_fault() -> None:
    sent = {**wire.to_json(CheckResult, RESULT), "new": 1}
    assert wire.from_json(CheckResult, sent) == RESULT
    with pytest.raises(wire.NotReadable, match="step: Field required"):
        wire.from_json(CheckResult, {"verdict": "passed"})


@pytest.mark.parametrize("error", [NotFound("no"), Conflict("<so>"), Invalid([Fault("f", 3, "x"), Fault("g", 1, "y")])])
def test_an_error_arrives_as_it_was_raised(error: LabkitError) -> None:
    again = raised(*problem(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_errors_have_the_status_of_their_class_or_of_the_nearest_base() -> None:
    class Newer(ClusterUnavailable):
        pass

    assert problem(Newer("x"))[0] == STATUS[ClusterUnavailable] == 503
    assert problem(LabkitError("x"))[0] == 400


def test_an_answer_that_is_none_of_labkits_says_so() -> None:
    assert "is LABKIT_URL right?" in str(raised(502, "<html>"))


def test_what_is_handed_out_of_the_pages_helps_nobody_to_answer_and_shows_nothing_that_is_locked() -> None:
    told = MODEL.handed_out(Progress())
    assert told.pages[1].steps[0].html == ""
    assert "SECRET" not in str(replace(told, pages=told.pages[1:])) + str(told.questions)
    assert (told.max_points, told.locked(Progress())) == (MODEL.max_points, {"locked"})


def test_the_document_is_openapi() -> None:
    validate(document())
    assert len([way for path in document()["paths"].values() for way in path]) == len(TABLE)


def test_the_reference_has_the_table_as_it_is() -> None:
    page = Path("docs/reference/api.md").read_text()
    assert reference() in page, "write it anew: python -m lti_app.api.document"
