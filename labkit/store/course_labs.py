"""The store in SQLite: labs of courses, and who may bring them (`authoring.Authoring`)."""

from __future__ import annotations

from collections.abc import Mapping

from labkit.errors import Conflict
from labkit.store.authoring import AuthorRow, CourseLab
from labkit.store.tables import Tables


class SqliteCourseLabs(Tables):
    """`authoring.Authoring` on one SQLite file."""

    def unbind_template(self, template: str, context: str) -> None:
        self._write("DELETE FROM course_lab WHERE template = ? AND context = ?", template, context)

    def bound_templates(self) -> Mapping[str, frozenset[str]]:
        bound: dict[str, frozenset[str]] = {}
        for row in self._rows("SELECT template, context FROM course_lab ORDER BY template"):
            bound[row["template"]] = bound.get(row["template"], frozenset()) | {str(row["context"])}
        return bound

    def allow_author(self, context: str, learner: str | None) -> None:
        self._write("INSERT OR IGNORE INTO author VALUES (?, ?)", context, learner)

    def deny_author(self, context: str, learner: str | None) -> bool:
        with self._connections.write() as db:
            gone = db.execute("DELETE FROM author WHERE context = ? AND learner IS ?", [context, learner])
            return bool(gone.rowcount)

    def authors(self) -> list[AuthorRow]:
        return [AuthorRow(**row) for row in self._rows("SELECT * FROM author ORDER BY context, learner")]

    def may_author(self, context: str, learner: str) -> bool:
        asked = "SELECT 1 FROM author WHERE context = ? AND (learner IS NULL OR learner = ?)"
        return self._row(asked, context, learner) is not None

    def course_labs(self, context: str) -> list[CourseLab]:
        asked = "SELECT template AS name, draft, published FROM course_lab WHERE context = ? ORDER BY template"
        return [CourseLab(**row) for row in self._rows(asked, context)]

    def course_contents(self) -> frozenset[str]:
        asked = "SELECT draft AS content FROM course_lab UNION SELECT published FROM course_lab"
        return frozenset(str(row["content"]) for row in self._rows(asked)) - {""}

    def draft_lab(self, context: str, name: str, draft: str, *, taken: bool, most: int) -> None:
        with self._connections.write() as db:
            rows = list(db.query("SELECT * FROM course_lab WHERE template = ?", [name]))
            own = [row for row in rows if row["context"] == context and (row["draft"] or row["published"])]
            if len(own) != len(rows) or (taken and not own):
                raise Conflict(f"there is another lab called '{name}': give yours another name in lab.yaml")
            (number,) = db.execute("SELECT count(*) FROM course_lab WHERE context = ?", [context]).fetchone()
            if not own and number >= most:
                told = f"this course has {number} labs of its own, {most} are the most"
                raise Conflict(f"{told}; those who run this service can release one")
            saved = "INSERT INTO course_lab (template, context, draft) VALUES (?, ?, ?) "
            db.execute(f"{saved} ON CONFLICT DO UPDATE SET draft = excluded.draft", [name, context, draft])

    def published_lab(self, context: str, name: str, content: str) -> None:
        changed = "UPDATE course_lab SET published = ?1, draft = CASE draft WHEN ?1 THEN '' ELSE draft END "
        self._write(f"{changed} WHERE context = ?2 AND template = ?3", content, context, name)

    def drop_draft(self, context: str, name: str) -> None:
        with self._connections.write() as db:
            own = "context = ? AND template = ? AND draft != ''"
            db.execute(f"DELETE FROM course_lab WHERE {own} AND published = ''", [context, name])  # noqa: S608
            db.execute(f"UPDATE course_lab SET draft = '' WHERE {own}", [context, name])  # noqa: S608
