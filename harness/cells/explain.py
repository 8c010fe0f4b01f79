"""Why two cells differ: their content as named fields, and the fields whose values are not the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.cells.cell import Cell
from harness.cells.recipe import Stage
from harness.core.identity import canonical_json

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
        rules = {name: value for name, value in cell.content().items() if name == "rules"}
        return {"kind": "input", **dict(_fields("task", cell.task.identity(exclude_none=True))), **rules}
    content = cell.identity(exclude_none=True, exclude={"base", "prior_source"})
    source = cell.prior_source
    fields = {
        field: value
        for field, value in _fields("", content)
        if not (source and field.startswith("variant.prior.") and field.endswith("digest") and value == source.id)
    }
    fields = {_code_name(field): value for field, value in fields.items()}
    for name, required in (("base", cell.base), ("prior_source", source)):
        if required is not None:
            fields |= {f"{name}.{field}": value for field, value in flatten(required).items()}
    return fields


def _code_name(field: str) -> str:
    """The field as code and suites call it: some are stored under another name."""
    owner, _, name = field.rpartition(".")
    return f"{owner}.{_STORED[name]}" if name in _STORED and owner.rpartition(".")[0].endswith("stages") else field


_STORED = {field.alias: name for name, field in Stage.model_fields.items() if field.alias}


def _fields(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything inside a value; a list of plain values stays whole, an empty one has none."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _fields(f"{prefix}.{key}" if prefix else key, item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from _fields(f"{prefix}.{index}", item)
    elif value != []:
        yield prefix, value


def explain(left: Cell, right: Cell) -> list[Difference]:
    """The fields that differ, in the order of the cells' content. Empty for cells of the same id.

    A required cell often differs in the same field and in the same way as the cell itself; such a field is left out.
    A part
    or a required cell that only one of the two has is named once, and not field by field.
    """
    a, b = flatten(left), flatten(right)
    values = {field: (_shown(a, field), _shown(b, field)) for field in a | b}
    differing = {field: pair for field, pair in values.items() if pair[0] != pair[1]}
    found: dict[str, Difference] = {}
    for field, pair in differing.items():
        whole = next((part for part in _WHOLE if field.startswith(f"{part}.") and not _in_both(part, a, b)), None)
        if whole is not None:
            found.setdefault(whole, Difference(whole, _named(whole, a, left), _named(whole, b, right)))
        elif not _follows(field, differing):
            found[field] = Difference(field, *pair)
    return list(found.values())


_WHOLE = ("base", "prior_source", "backbone", "variant.refiner", "variant.prior.of", "variant.prior", "train")
"""Parts and required cells that a cell may lack as a whole, the inner ones first."""


def _in_both(part: str, left: dict[str, Any], right: dict[str, Any]) -> bool:
    return _has(part, left) and _has(part, right)


def _has(part: str, fields: dict[str, Any]) -> bool:
    return any(field.startswith(f"{part}.") for field in fields)


def _follows(field: str, differing: dict[str, tuple[str, str]]) -> bool:
    """Whether a required cell's field differs as the cell's own does."""
    return _own(field) != field and differing.get(_own(field)) == differing[field]


def _named(part: str, fields: dict[str, Any], cell: Cell) -> str:
    """A part by its name, a required cell by what it is and its id."""
    if not _has(part, fields):
        return ABSENT
    required = {"base": cell.base, "prior_source": cell.prior_source}.get(part)
    if required is None or required.backbone is None:
        return str(fields[f"{part}.name"])
    return f"{required.task.name} {required.backbone.name} base, cell {required.id}"


def _own(field: str) -> str:
    """The field of the cell itself that a required cell's field corresponds to."""
    for prefix in ("base.", "prior_source."):
        field = field.removeprefix(prefix)
    return field


def _shown(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        return ABSENT
    value = fields[name]
    return value if isinstance(value, str) else canonical_json(value)
