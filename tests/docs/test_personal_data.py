"""Every field that is stored is in the reference of personal data, and nothing else is."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from labkit.store import SqliteStore

PAGE = Path(__file__).parent.parent.parent / "docs/reference/personal-data.md"
OF_SQLITE = ("_sqlite_migrations", "sqlite_sequence")


def test_the_reference_lists_just_the_fields_of_the_real_tables(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "labkit.db").close()
    with closing(sqlite3.connect(tmp_path / "labkit.db")) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        fields = {
            f"{table}.{column[1]}"
            for table in tables
            if table not in OF_SQLITE
            for column in connection.execute(f"PRAGMA table_info({table})")
        }
    assert set(re.findall(r"`([a-z_]+\.[a-z_]+)`", PAGE.read_text())) - {"labkit.db", "activity.json"} == fields


def test_each_field_has_a_purpose_and_a_lifetime() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows)
