"""JSON Schema of the suite file, for editors: of the pydantic models, their docstrings and the parts' declarations."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from harness.api.declaration import declaration
from harness.api.protocols import PROTOCOLS
from harness.cells.patches import Regions
from harness.cells.recipe import Cycle, Darken, Grain, Mixup, Scale
from harness.cells.suite import DeepSpeed, Run
from harness.core.registry import Registry
from harness.core.source import REQUIRED, Option, definitions, parse_module
from harness.recipes.mapping import BackboneMapping, LossMapping, PartMapping, RecipeMapping, StageMapping
from harness.spec.options import adapter_of, refers_to
from harness.spec.schema import Axes, Block, CellMapping, Defaults, Exclude, SuiteFile, VariantMapping

ID = "https://priorbench.invalid/results_schema/suite.v1.json"
"""An identifier, not an address: `.invalid` never resolves."""

_MODELS: tuple[type[BaseModel], ...] = (
    SuiteFile, Run, DeepSpeed, Defaults, Block, Axes, Exclude, VariantMapping, CellMapping,
    RecipeMapping, StageMapping, Cycle, Mixup, Grain, Scale, Darken, Regions,
    PartMapping, BackboneMapping, LossMapping,
)  # fmt: skip
_PARTS: dict[str, type[PartMapping]] = {
    **dict.fromkeys(("task", "dataset", "refiner", "prior", "metric"), PartMapping),
    "backbone": BackboneMapping,
    "loss": LossMapping,
}
"""The kinds of parts that a suite names, and the keys that each may have beside its options."""

Schema = dict[str, Any]


def suite_json_schema(registry: Registry) -> Schema:
    """JSON Schema (draft 2020-12) of suite files: which keys there are, which parts, and which options each part has.

    Parts that `registry` does not know are allowed with any options, as a suite's plug-ins bring their own.
    """
    shapes = _shapes()
    suite = shapes.pop(SuiteFile.__name__)
    keys = {kind: shapes[mapping.__name__]["properties"] for kind, mapping in _PARTS.items()}
    shared = shapes[PartMapping.__name__]["properties"]
    for mapping in set(_PARTS.values()):
        del shapes[mapping.__name__]
    for kind in _PARTS:
        shapes |= _kind(registry, kind, keys[kind], shared)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, "title": "priorbench suite"}
    return head | suite | {"$defs": dict(sorted(shapes.items()))}


def _shapes() -> dict[str, Schema]:
    """The schema of every model by name, with the docstrings that stand below fields as their descriptions."""
    _, described = models_json_schema([(model, "validation") for model in _MODELS], by_alias=False)
    shapes: dict[str, Schema] = _with_parts(described["$defs"])
    for model in _MODELS:
        _describe(shapes[model.__name__], model)
    del shapes[SuiteFile.__name__]["properties"]["defaults"]["default"]
    stage = shapes[StageMapping.__name__]["properties"]
    stage["learns"] = {**stage["trains"], "deprecated": True, "description": "The same as `trains`."}
    suite = shapes[SuiteFile.__name__]["properties"]
    suite["metrics"]["default"] = [metric.name for metric in SuiteFile.model_fields["metrics"].default]
    named = next(shape for shape in suite["protocols"]["anyOf"] if shape["type"] == "array")
    named["items"] = {"anyOf": [{"enum": sorted(PROTOCOLS)}, {"type": "string"}]}  # a plug-in's task may bring others
    return shapes


def _with_parts(value: Any) -> Any:
    """Replaces `x-kind`, which stands where a suite names a part, by a reference to the parts of that kind."""
    if isinstance(value, dict):
        if "x-kind" in value:
            return {"$ref": f"#/$defs/{value['x-kind']}"}
        return {key: _with_parts(item) for key, item in value.items()}
    return [_with_parts(item) for item in value] if isinstance(value, list) else value


def _describe(shape: Schema, model: type[BaseModel]) -> None:
    texts = {name: text for cls in reversed(model.__mro__) for name, text in _field_docs(cls).items()}
    for name, field in shape["properties"].items():
        field.pop("title", None)
        if name in texts:
            field["description"] = texts[name]
        if field.get("default", ...) is None:
            del field["default"]
    shape.pop("title", None)
    shape["description"] = _line(inspect.getdoc(model) or "")


def _field_docs(cls: type) -> dict[str, str]:
    """The docstrings below the fields that a model class itself declares."""
    if not issubclass(cls, BaseModel) or cls is BaseModel:
        return {}
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, doc in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant):
            docs[ast.unparse(field.target)] = _line(str(doc.value.value))
    return docs


def _line(text: str) -> str:
    return " ".join(text.split())


def _kind(registry: Registry, kind: str, keys: dict[str, Schema], shared: dict[str, Schema]) -> dict[str, Schema]:
    """The definitions of one kind: a part of it by name or as a mapping; each known part's options; unknown parts.

    `keys`: those of the mapping that are no options; `shared`: those that parts of every kind have.
    """
    names = {key: f"part_{key}" if shape == shared.get(key) else f"{kind}_{key}" for key, shape in keys.items()}
    known = {"$ref": f"#/$defs/{kind}_known"}
    beside = {key: {"$ref": f"#/$defs/{name}"} for key, name in names.items() if key != "name"}
    others = {"type": "string", "not": known, "description": "A part of a plug-in."}
    mappings = {f"{kind}.{name}": _part(registry, kind, name, beside) for name in sorted(registry.names(kind))}
    mappings[f"{kind}_of_plugin"] = {
        "type": "object",
        "properties": {"name": others, **beside},
        "required": ["name"],
    }
    return {
        kind: {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in (f"{kind}_name", *mappings)]},
        f"{kind}_known": {"enum": sorted(registry.names(kind))},
        f"{kind}_name": {"anyOf": [known, {"type": "string"}]},
        **{names[key]: shape for key, shape in keys.items() if key != "name"},
        **mappings,
    }


def _part(registry: Registry, kind: str, name: str, beside: dict[str, Schema]) -> Schema:
    """A known part as a mapping: its name, and its options and no others."""
    declared = declaration(registry, kind, name)
    told = _told(declared.target)
    options = {option.name: _option(option, told.get(option.name)) for option in declared.options.values()}
    needed = [option.name for option in declared.options.values() if option.default is REQUIRED]
    return {
        "type": "object",
        "description": declared.summary,
        "properties": {"name": {"const": name}, **options, **beside},
        "required": ["name", *needed],
        "additionalProperties": False,
    }


def _option(option: Option, told: str | None) -> Schema:
    reference = refers_to(option)
    if reference is not None:
        shape: Schema = {"$ref": "#/$defs/prior" if reference == "PriorRef" else f"#/$defs/{CellMapping.__name__}"}
        shape = {"anyOf": [shape, {"type": "null"}]} if option.default is None else shape
    else:
        shape = _short(adapter_of(option.annotation).json_schema())
    if option.default is not REQUIRED and option.default is not None:
        shape["default"] = list(option.default) if isinstance(option.default, tuple) else option.default
    return shape | ({"description": told} if told else {})


def _short(shape: Schema) -> Schema:
    """The schema of a list of fixed length, with the items' schema once when all items have the same one."""
    if "anyOf" in shape:
        return {**shape, "anyOf": [_short(member) for member in shape["anyOf"]]}
    items = shape.get("prefixItems", [])
    if not items or any(item != items[0] for item in items):
        return shape
    return {**{key: value for key, value in shape.items() if key != "prefixItems"}, "items": items[0]}


_TOLD = re.compile(
    r"(?:^|(?<=[.;] )|(?<=Options: ))(?P<names>(?:`\w+`, )*`\w+`): (?P<text>.+?)(?:(?<![A-Z])[.;](?= [A-Z`])|[.;]?$)"
)
"""One or more names and their description, up to the end of the sentence (not of an initial, as in "X. Chu")."""


def _told(target: str) -> dict[str, str]:
    """Option → its description, for options that the docstring of "module:Class" describes as `name`: text."""
    module, _, attribute = target.partition(":")
    doc = ast.get_docstring(definitions(parse_module(module))[attribute]) or ""
    told: dict[str, str] = {}
    for paragraph in re.split(r"\n\n(?:- )?|\n- ", doc):
        for found in _TOLD.finditer(_line(paragraph)):
            told |= dict.fromkeys(re.findall(r"`(\w+)`", found["names"]), found["text"])
    return told
