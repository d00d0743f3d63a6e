"""Conditions of pages: `os == "debian" and not expert`. Words, texts, `==`, `!=`, `and`, `or`, `not`: no more.

Python's own parser reads them, and only the kinds of nodes that are named here are ever looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from labkit.documents import Wrong

MOST_LETTERS = 200
NO = ("", "0", "no", "false")
"""Values of a variable that stand for no, where it is not compared with anything."""


def condition(text: str) -> str:
    """`text`, if it is a condition. Raises Wrong."""
    list(names_in(text))
    return text


def names_in(text: str) -> Iterator[str]:
    """The variables that a condition asks for. Raises Wrong for what is no condition."""
    yield from _names(_tree(text))


def holds(text: str, variables: Mapping[str, str]) -> bool:
    """Whether a condition is true. A variable that there is not counts as empty. Raises Wrong."""
    return _truth(_tree(text), variables)


def _tree(text: str) -> ast.expr:
    try:
        if len(text) > MOST_LETTERS:
            raise ValueError
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _wrong(text[:MOST_LETTERS]) from None


def _wrong(what: str) -> Wrong:
    return Wrong(f"'{what}' is no condition; write for example os == \"debian\" and not expert")


def _names(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Name(id=name):
            yield name
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from _names(operand)
        case ast.BoolOp(values=parts):
            for part in parts:
                yield from _names(part)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
            yield from (side.id for side in (left, right) if isinstance(side, ast.Name))
            if wrong := next(
                (side for side in (left, right) if not isinstance(side, ast.Name) and not _text(side)), None
            ):
                raise _wrong(ast.unparse(wrong))
        case _:
            raise _wrong(ast.unparse(node))


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _truth(node: ast.expr, variables: Mapping[str, str]) -> bool:
    match node:
        case ast.Name(id=name):
            return variables.get(name, "").lower() not in NO
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _truth(operand, variables)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_truth(part, variables) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_truth(part, variables) for part in parts)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return (_value(left, variables) == _value(right, variables)) == isinstance(op, ast.Eq)
    raise _wrong(ast.unparse(node))


def _value(node: ast.expr, variables: Mapping[str, str]) -> str:
    return variables.get(node.id, "") if isinstance(node, ast.Name) else str(ast.literal_eval(node))
