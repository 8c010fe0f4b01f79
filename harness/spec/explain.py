"""Why two cells differ: their content as named fields, and the fields whose values are not the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.spec.cell import Cell

ABSENT = "—"


@dataclass(frozen=True)
class Difference:
    """A field, e.g. `recipe.steps` or `prior_source.task.name`, and its value in either cell."""

    field: str
    left: str
    right: str


def flatten(cell: Cell) -> dict[str, Any]:
    """Everything that a cell's id depends on, as dotted fields.

    A required cell is spelled out under `base` or `prior_source`, and the digests that only repeat its id are left out.
    """
    if cell.backbone is None:
        return {"kind": "input", **dict(_fields("task", cell.task.content()))}
    content = cell.model_dump(mode="json", exclude_none=True, exclude={"base", "prior_source"})
    source = cell.prior_source
    fields = {
        field: value
        for field, value in _fields("", content)
        if not (source and field.startswith("variant.prior.") and field.endswith("digest") and value == source.id)
    }
    for name, required in (("base", cell.base), ("prior_source", source)):
        if required is not None:
            fields |= {f"{name}.{field}": value for field, value in flatten(required).items()}
    return fields


def _fields(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, scalar) of everything inside a value; an empty mapping or list has none."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _fields(f"{prefix}.{key}" if prefix else key, item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _fields(f"{prefix}.{index}", item)
    else:
        yield prefix, value


def explain(left: Cell, right: Cell) -> list[Difference]:
    """The fields that differ, in the order of the cells' content. Empty for cells of the same id.

    A required cell's field that differs exactly as the cell's own field does follows from it, and is left out.
    """
    a, b = flatten(left), flatten(right)
    pairs = {field: (_shown(a, field), _shown(b, field)) for field in (a | b) if _shown(a, field) != _shown(b, field)}
    return [
        Difference(field, *values)
        for field, values in pairs.items()
        if _own(field) == field or pairs.get(_own(field)) != values
    ]


def _own(field: str) -> str:
    """The field of the cell itself that a required cell's field corresponds to."""
    for prefix in ("base.", "prior_source."):
        field = field.removeprefix(prefix)
    return field


def _shown(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        return ABSENT
    value = fields[name]
    return str(value).lower() if isinstance(value, bool) else str(value)
