"""JSON Schema of the suite file, for editors: made from the pydantic models, their docstrings and the catalogue."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection
from typing import Any

from pydantic import BaseModel

from harness.spec import schema
from harness.spec.cell import Recipe
from harness.spec.resolved import Run
from harness.spec.schema import SuiteFile

ID = "https://priorbench.invalid/results_schema/suite.v1.json"
"""An identifier, not an address: `.invalid` never resolves."""


def suite_json_schema(names: Callable[[str], Collection[str]]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of suite files. `names` gives the known parts of a kind, which editors then offer.

    Other names are allowed, as plug-ins bring their own.
    """
    described = SuiteFile.model_json_schema()
    definitions = described["$defs"]
    for model in _models():
        _describe(definitions[model.__name__] if model is not SuiteFile else described, model)
    definitions["RecipeMapping"].pop("required", None)
    kinds: set[str] = set()
    ready = _offered(described, kinds)
    for kind in sorted(kinds):
        ready["$defs"][f"{kind}_name"] = {"anyOf": [{"enum": sorted(names(kind))}, {"type": "string"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **ready, "title": "priorbench suite"}


def _models() -> list[type[BaseModel]]:
    local = [item for item in vars(schema).values() if isinstance(item, type) and issubclass(item, schema.Spec)]
    unused = (schema.Spec, schema.CellMapping)
    return [*(model for model in local if model not in unused), schema.RecipeMapping, Run]


def _describe(definition: dict[str, Any], model: type[BaseModel]) -> None:
    """Gives the properties of a model the docstrings that stand below its fields, its parents' included."""
    texts = {name: text for cls in reversed(model.__mro__) for name, text in _field_docs(cls).items()}
    for name, described in definition["properties"].items():
        described.pop("title", None)
        if name in texts:
            described["description"] = texts[name]
        if "default" in described and described["default"] is None:
            del described["default"]
    definition.pop("title", None)
    definition["description"] = " ".join((inspect.getdoc(model) or "").split())


def _field_docs(cls: type) -> dict[str, str]:
    if not (issubclass(cls, schema.Spec | Recipe | Run) and cls is not schema.Spec):
        return {}
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, doc in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant):
            docs[ast.unparse(field.target)] = " ".join(str(doc.value.value).split())
    return docs


def _offered(value: Any, kinds: set[str]) -> Any:
    """Replaces `x-kind` by a reference to the names of that kind, and notes the kind."""
    if isinstance(value, dict):
        if "x-kind" in value:
            kinds.add(value["x-kind"])
            return {"$ref": f"#/$defs/{value['x-kind']}_name"}
        return {key: _offered(item, kinds) for key, item in value.items()}
    return [_offered(item, kinds) for item in value] if isinstance(value, list) else value
