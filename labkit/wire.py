"""Values as JSON and back: one codec for the API's server, its clients and its document. Imports nothing of ours.

What a value's JSON is follows from its type hints (dataclasses, enums, tuples, mappings). Keys that a newer server adds
are passed over; what is missing, or of another kind, is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

REFERENCE = "#/components/schemas/{model}"


class NotReadable(ValueError):
    """JSON that is not of the kind that was expected. `faults` are (place, sentence), all at once."""

    def __init__(self, error: ValidationError) -> None:
        places = [".".join(map(str, fault["loc"])) for fault in error.errors()]
        self.faults = tuple(zip(places, (fault["msg"] for fault in error.errors()), strict=True))
        super().__init__("; ".join(f"{place}: {text}" if place else text for place, text in self.faults))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(kind: Any, value: object) -> Any:
    """A value of a kind, in what JSON knows."""
    return _adapter(kind).dump_python(value, mode="json")


def from_json(kind: Any, data: object) -> Any:
    """The value that JSON stands for. Raises NotReadable."""
    try:
        return _adapter(kind).validate_python(data)
    except ValidationError as error:
        raise NotReadable(error) from None


def arguments(name: str, fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    """A kind with these fields, each with its type and its default (`...`: it must be given); others are refused."""
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    made: type[BaseModel] = create_model(name, __config__=config, **fields)  # type: ignore[call-overload]
    return made


def given(model: type[BaseModel], data: object) -> dict[str, Any]:
    """The values of a kind's fields, by name. Raises NotReadable."""
    try:
        found = model.model_validate(data)
    except ValidationError as error:
        raise NotReadable(error) from None
    return {name: getattr(found, name) for name in model.model_fields}


def schemas(kinds: Mapping[str, Any], models: Mapping[str, type[BaseModel]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON schemas (2020-12) of what is sent (`kinds`) and of what is taken (`models`), by name; and the definitions
    that both refer to by `REFERENCE`."""
    wanted = [(name, "serialization", _adapter(kind)) for name, kind in kinds.items()]
    found, common = TypeAdapter.json_schemas(wanted, ref_template=REFERENCE)  # type: ignore[arg-type]
    sent = {name: schema for (name, _), schema in found.items()}
    taken = {name: model.model_json_schema(ref_template=REFERENCE) for name, model in models.items()}
    definitions = dict(common.get("$defs", {}))
    for schema in taken.values():
        definitions |= schema.pop("$defs", {})
    return {**sent, **taken}, definitions
