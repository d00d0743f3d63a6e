"""Exported results: nobody's name in them, and none that was changed or not attested is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.model import CheckResult, Mark, Verdict
from labkit.orchestrator.results import Record, exported, fault, marked, record
from labkit.tickets import SigningKey, jwks

KEY = SigningKey.generate()
RESULT = CheckResult("fetch", Verdict.PASSED, "Well done, Ada.", 1.5, True, 0.5, 5.0, 0.25, "d" * 64)
EXPORTED = exported(record("inst", "work1", RESULT), KEY)


def test_a_record_is_the_whole_result_but_for_what_may_name_a_person() -> None:
    assert {name: value for name, value in EXPORTED.items() if name not in ("signature", "feedback_sha256")} == {
        "installation": "inst",
        "work": "work1",
        "step": "fetch",
        "template": "d" * 64,
        "verdict": "passed",
        "score": 0.5,
        "points": 5.0,
        "time": 1.5,
        "seconds": 0.25,
        "attested": True,
    }
    assert "Ada" not in str(EXPORTED)


def test_what_was_signed_holds_and_what_is_not_attested_is_never_signed() -> None:
    assert fault(EXPORTED, jwks([SigningKey.generate(), KEY])) == ""
    own = exported(record("inst", "work1", replace(RESULT, attested=False)), KEY)
    assert own["signature"] is None
    assert fault(own, jwks([KEY])) == "is not signed: whoever did it could have written it"


def test_a_persons_mark_is_a_record_too_and_signed_where_another_than_the_learner_gave_it() -> None:
    mark = Mark("work1", "why", 3.5, "Half of it, Ada.", 1.5, True)
    found = exported(marked("inst", mark), KEY)
    assert ((found["question"], found["points"]), "Ada" in str(found)) == (("why", 3.5), False)
    assert fault(found, jwks([KEY])) == ""
    assert exported(marked("inst", replace(mark, attested=False)), KEY)["signature"] is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"points": 10.0}, "says something else than was signed"),
        ({"more": 1}, "says something else than was signed"),
        ({"signature": EXPORTED["signature"][:-6] + "AAAAAA"}, "has a signature that does not hold"),
        (
            {"signature": exported(record("inst", "w", RESULT), SigningKey.generate())["signature"]},
            "none of these keys",
        ),
        ({"signature": "x"}, "none of these keys"),
    ],
)
def test_what_was_changed_is_not_believed(changed: Record, why: str) -> None:
    assert why in fault({**EXPORTED, **changed}, jwks([KEY]))
