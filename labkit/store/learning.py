"""The store in SQLite: what learners have done. The contract of each method stands in `protocol.Store`."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from labkit.errors import Conflict, NotFound
from labkit.model import Answer, CheckResult, Mark, Progress, Verdict, Waiting
from labkit.store.tables import Tables

_UNTICK = """
    DELETE FROM tick WHERE work = ?1 AND step = ?2
        AND EXISTS (SELECT 1 FROM result WHERE work = ?1 AND step = ?2 AND replaces IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM counted_result WHERE work = ?1 AND step = ?2 AND verdict = 'passed')
"""
"""A step that only a replaced content has passed is not done."""
_SAME = ("step", "feedback", "time", "score", "points", "seconds", "digest", "replaces")


class SqliteLearning(Tables):
    """Ticks, results, answers and opened hints, on one SQLite file."""

    def tick(self, work: str, step: str, done: bool) -> None:
        if done:
            self._write("INSERT OR IGNORE INTO tick VALUES (?, ?, ?)", work, step, time.time())
        else:
            self._write("DELETE FROM tick WHERE work = ? AND step = ?", work, step)

    def record_result(self, work: str, result: CheckResult) -> None:
        with self._connections.write() as db:
            db.table("result").insert(
                {
                    "work": work,
                    "step": result.step,
                    "verdict": result.verdict.value,
                    "feedback": result.feedback,
                    "time": result.time,
                    "attested": int(result.attested),
                    "score": result.score,
                    "points": result.points,
                    "seconds": result.seconds,
                    "digest": result.digest,
                    "replaces": result.replaces,
                }
            )
            if result.verdict is Verdict.PASSED:
                db.execute("INSERT OR IGNORE INTO tick VALUES (?, ?, ?)", [work, result.step, result.time])
            db.execute(_UNTICK, [work, result.step])

    def record_answer(self, work: str, answer: Answer, *, most: int, content: bytes | None = None) -> None:
        with self._connections.write() as db:
            key = [work, answer.question]
            given = list(db.query("SELECT correct, marked FROM answer WHERE work = ? AND question = ?", key))
            if any(row["marked"] for row in given):
                raise Conflict(f"question '{answer.question}' has been marked")
            if any(row["correct"] for row in given):
                raise Conflict(f"question '{answer.question}' has been answered")
            if most and len(given) >= most:
                raise Conflict(f"question '{answer.question}' has been answered {most} times, which is the most")
            db.execute(
                "INSERT INTO answer (work, question, given, correct, points, time) VALUES (?, ?, ?, ?, ?, ?)",
                [*key, json.dumps(answer.given), answer.right, answer.points, answer.time],
            )
            if content is not None:
                # last_insert_rowid() is the answer's: nothing is inserted in between.
                text = base64.b64encode(content).decode()
                db.execute(
                    "DELETE FROM handed_in WHERE answer IN (SELECT id FROM answer WHERE work = ? AND question = ?)", key
                )
                db.execute("INSERT INTO handed_in VALUES (last_insert_rowid(), ?)", [text])

    def mark(self, work: str, question: str, points: float, comment: str, *, attested: bool = False) -> None:
        sql = """
            UPDATE answer SET points = ?, comment = ?, marked = ?, attested = ? WHERE correct IS NULL
                AND id = (SELECT max(id) FROM answer WHERE work = ? AND question = ?)
        """
        with self._connections.write() as db:
            if not db.execute(sql, [points, comment, time.time(), int(attested), work, question]).rowcount:
                raise NotFound(f"nothing was handed in for question '{question}' of work {work}")

    def marks(self, activity: str | None = None) -> list[Mark]:
        sql = """
            SELECT answer.* FROM answer JOIN work ON work.id = answer.work
            WHERE marked IS NOT NULL AND (?1 IS NULL OR work.activity = ?1) ORDER BY marked
        """
        return [
            Mark(row["work"], row["question"], row["points"], row["comment"], row["marked"], bool(row["attested"]))
            for row in self._rows(sql, activity)
        ]

    def handed_in(self, work: str, question: str) -> bytes | None:
        sql = "SELECT content FROM handed_in JOIN answer ON id = answer WHERE work = ? AND question = ?"
        row = self._row(sql, work, question)
        return base64.b64decode(row["content"]) if row else None

    def waiting(self, activity: str | None = None) -> list[Waiting]:
        sql = """
            SELECT answer.*, work.activity, learner.name FROM answer
            JOIN work ON work.id = answer.work JOIN learner ON learner.id = work.learner
            WHERE answer.id IN (SELECT max(id) FROM answer GROUP BY work, question)
                AND correct IS NULL AND marked IS NULL AND (?1 IS NULL OR work.activity = ?1) ORDER BY answer.id
        """
        return [
            Waiting(
                row["work"], row["name"], row["activity"], row["question"], tuple(json.loads(row["given"])), row["time"]
            )
            for row in self._rows(sql, activity)
        ]

    def open_hint(self, work: str, hint: str, cost: float) -> None:
        self._write("INSERT OR IGNORE INTO opened VALUES (?, ?, ?, ?)", work, hint, cost, time.time())

    def progress(self, work: str) -> Progress:
        ticks = frozenset(str(row["step"]) for row in self._rows("SELECT step FROM tick WHERE work = ?", work))
        latest = "SELECT * FROM result WHERE id IN (SELECT max(id) FROM result WHERE work = ? GROUP BY step)"
        opened = {row["hint"]: row["cost"] for row in self._rows("SELECT hint, cost FROM opened WHERE work = ?", work)}
        answers: dict[str, tuple[Answer, ...]] = {}
        for row in self._rows("SELECT * FROM answer WHERE work = ? ORDER BY id", work):
            answers[row["question"]] = (*answers.get(row["question"], ()), _answer(row))
        best = "SELECT step, max(score) AS score FROM counted_result WHERE work = ? GROUP BY step"
        scores = {row["step"]: row["score"] for row in self._rows(best, work)}
        results = {row["step"]: _result(row) for row in self._rows(latest, work)}
        return Progress(ticks, results, opened, answers, scores)

    def results(self, activity: str | None = None) -> list[tuple[str, CheckResult]]:
        sql = """
            SELECT result.* FROM result JOIN work ON work.id = result.work
            WHERE ?1 IS NULL OR work.activity = ?1 ORDER BY result.id
        """
        return [(row["work"], _result(row)) for row in self._rows(sql, activity)]


def _result(row: Mapping[str, Any]) -> CheckResult:
    same = {name: row[name] for name in _SAME}
    return CheckResult(verdict=Verdict(row["verdict"]), attested=bool(row["attested"]), **same)


def _answer(row: Mapping[str, Any]) -> Answer:
    right = None if row["correct"] is None else bool(row["correct"])
    return Answer(row["question"], tuple(json.loads(row["given"])), right, row["points"], row["time"], row["comment"])
