"""What commands print is printed as it is, whatever it looks like."""

import pytest

from labkit.commands.output import ago, print_table


def test_brackets_in_a_table_are_text_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("WHAT", "FOUND"), [("engine", "pip install 'labkit[engine]' [/x]")], empty="")
    assert "pip install 'labkit[engine]' [/x]" in capsys.readouterr().out


def test_what_a_terminal_would_obey_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME",), [("Ada\x1b[2J\x9b31m\a Lovelace — ä",)], empty="")
    assert "Ada\ufffd[2J\ufffd31m\ufffd Lovelace — ä" in capsys.readouterr().out


def test_an_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("LAB",), [], empty="No labs.")
    assert capsys.readouterr().out == "No labs.\n"


def test_an_age_is_told_in_its_largest_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    assert [ago(1_000_000.0 - age) for age in (5, 300, 7200, 200_000)] == ["5s", "5m", "2h", "2d"]
