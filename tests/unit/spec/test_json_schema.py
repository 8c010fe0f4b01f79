"""What editors accept and mark: the schema of suites against suites that ship, every part, and mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.api.declaration import declaration
from harness.core.source import REQUIRED, Option
from harness.core.yaml import Place, load
from harness.parts.catalogue import REGISTRY
from harness.spec.json_schema import suite_json_schema
from harness.spec.options import adapter_of, refers_to

ROOT = Path(__file__).parents[3]
KINDS = ("task", "dataset", "backbone", "refiner", "prior", "loss", "metric")
EVERY_PART = [(kind, name) for kind in KINDS for name in REGISTRY.names(kind)]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(json.dumps(suite_json_schema(REGISTRY)))


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def content(text: str) -> Any:
    """What a YAML text holds, as JSON has it."""
    tree, problems = load(text, Place("x"))
    assert tree is not None
    assert problems == []
    return json.loads(json.dumps(tree.plain))


def suite_with(kind: str, part: Any) -> dict[str, Any]:
    """A suite in which one part of a kind stands."""
    block: dict[str, Any] = {"task": "low_light", "dataset": "photos", "backbone": "nafnet"}
    metrics: list[Any] = ["psnr"]
    if kind in block:
        block[kind] = part
    elif kind in ("refiner", "prior"):
        block["variant"] = {"refiner": "ptg_rm", "prior": "nss", kind: part}
    elif kind == "loss":
        block["recipe"] = {"losses": [part]}
    else:
        metrics = [part]
    return {"suite": "s", "metrics": metrics, "blocks": [block]}


def value_of(option: Option) -> Any:
    """A value that the option takes: its default, another prior or cell, or a path."""
    if option.default is not REQUIRED:
        return option.default
    known = {"PriorRef": "nss", "CellRef": {"task": "derain", "backbone": "nafnet"}, "None": "pictures"}
    return known[str(refers_to(option))]


# --- what is sound --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted((ROOT / "suites").rglob("*.yaml")), ids=lambda file: file.stem)
def test_suites_that_ship_pass(validator: Draft202012Validator, file: Path) -> None:
    assert list(validator.iter_errors(content(file.read_text()))) == []


def test_the_suite_of_the_readme_passes(validator: Draft202012Validator) -> None:
    suites = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    whole = [text for text in suites if "\nsuite:" in text]
    assert whole
    for text in whole:
        assert list(validator.iter_errors(content(text))) == []


@pytest.mark.parametrize(("kind", "name"), EVERY_PART)
def test_every_part_passes_with_all_its_options_written_out(
    validator: Draft202012Validator, kind: str, name: str
) -> None:
    options = {option.name: value_of(option) for option in declaration(REGISTRY, kind, name).options.values()}
    written = json.loads(json.dumps({"name": name, "label": "x", **options}))
    assert list(validator.iter_errors(suite_with(kind, written))) == []
    assert list(validator.iter_errors(suite_with(kind, name))) == []


@pytest.mark.parametrize("part", ["mine", {"name": "mine"}, {"name": "mine", "label": "x", "any": {"thing": [1]}}])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_plugins_pass_with_any_options(validator: Draft202012Validator, kind: str, part: Any) -> None:
    assert list(validator.iter_errors(suite_with(kind, part))) == []


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("task", {"name": "gaussian_denoise", "sigma": 50}),
        ("backbone", {"name": "nafnet", "weights": "nafnet/x", "width": 8}),
        ("loss", {"name": "charbonnier", "weight": 2, "reduction": "sum"}),
        ("loss", {"name": "charbonnier", "weight": 0, "refined_weight": 10}),
        ("prior", {"name": "shuffled", "of": {"name": "mean", "of": {"name": "random", "dim": 5}}}),
        ("prior", {"name": "restoration", "source": {"task": "derain", "backbone": {"name": "nafnet", "width": 8}}}),
    ],
)
def test_options_pass(validator: Draft202012Validator, kind: str, part: Any) -> None:
    assert list(validator.iter_errors(suite_with(kind, part))) == []


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), EVERY_PART)
def test_every_part_is_refused_with_an_option_that_it_does_not_have(
    validator: Draft202012Validator, kind: str, name: str
) -> None:
    options = {option.name: value_of(option) for option in declaration(REGISTRY, kind, name).options.values()}
    written = json.loads(json.dumps({"name": name, **options, "no_such_option": 1}))
    assert list(validator.iter_errors(suite_with(kind, written)))


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("task", {"name": "gaussian_denoise", "sigma": "50"}),
        ("task", {"name": "gaussian_denoise", "sigma": -1}),
        ("task", {"sigma": 50}),
        ("backbone", {"name": "nafnet", "width": "wide"}),
        ("backbone", {"name": "nafnet", "enc_blk_nums": 1}),
        ("backbone", {"name": "restormer", "num_blocks": [1, 1, 1]}),
        ("backbone", {"name": "grl", "conv_type": "2conv"}),
        ("backbone", {"name": "nafnet", "weight": 1}),
        ("loss", {"name": "charbonnier", "reduction": "max"}),
        ("loss", {"name": "charbonnier", "weight": -1}),
        ("loss", {"name": "charbonnier", "refined_weight": -1}),
        ("prior", {"name": "shuffled"}),
        ("prior", {"name": "shuffled", "of": {"name": "random", "dims": 5}}),
        ("prior", {"name": "restoration", "source": {"task": "derain"}}),
        ("prior", 3),
    ],
)
def test_wrong_options_are_refused(validator: Draft202012Validator, kind: str, part: Any) -> None:
    assert list(validator.iter_errors(suite_with(kind, part)))


@pytest.mark.parametrize(
    ("key", "value", "sound"),
    [
        ("variant", "base", True),
        ("variant", "basic", False),
        ("variant", {"refiner": "ptg_rm", "prior": "nss", "placement": "features"}, True),
        ("variant", {"refiner": "ptg_rm", "prior": "nss", "placement": "feature"}, False),
        ("exclude", [{"task": ["derain", {"sigma": 5}], "variant": {"regime": "frozen"}, "seed": [0]}], True),
        ("exclude", [{"taks": "derain"}], False),
        ("recipe", {"stages": [{"steps": 5, "trains": ["refiner"]}]}, True),
        ("recipe", {"stages": [{"steps": 5, "learns": ["refiner"]}]}, True),
        ("recipe", {"stages": [{"steps": 5, "train": ["refiner"]}]}, False),
        ("recipe", {"cycles": [{"steps": 5, "lr_min": 0}], "preset": "official", "label": "x"}, True),
    ],
)
def test_the_other_keys_of_a_block(validator: Draft202012Validator, key: str, value: Any, sound: bool) -> None:
    suite = {"suite": "s", "blocks": [{key: value}]}
    assert (list(validator.iter_errors(suite)) == []) is sound


# --- what editors show ----------------------------------------------------------------------------------------------


def test_every_option_has_its_type_its_default_and_what_the_docstring_says(schema: dict[str, Any]) -> None:
    checked = 0
    for kind, name in EVERY_PART:
        part = schema["$defs"][f"{kind}.{name}"]
        declared = declaration(REGISTRY, kind, name)
        assert part["description"] == declared.summary
        for option in declared.options.values():
            shape = part["properties"][option.name]
            assert shape.keys() & {"type", "anyOf", "enum", "$ref"}, (kind, name, option.name)
            if refers_to(option) is None:
                assert adapter_of(option.annotation).json_schema(), (kind, name, option.name)
            if option.default not in (REQUIRED, None):
                assert shape["default"] == json.loads(json.dumps(option.default))
            checked += 1
    assert checked > 200
    sigma = schema["$defs"]["task.gaussian_denoise"]["properties"]["sigma"]
    level = {"type": "number", "minimum": 0.0, "maximum": 255.0}
    assert sigma["anyOf"] == [level, {"type": "array", "minItems": 2, "maxItems": 2, "items": level}]
    assert sigma["default"] == 25.0
    assert sigma["description"].startswith("standard deviation of the noise on the 0–255 scale")


@pytest.mark.parametrize(
    ("recipe", "sound"),
    [
        ({"patch": [256, 384]}, True),
        ({"patch": "whole"}, True),
        ({"patch": "hole"}, False),
        ({"patch": [256]}, False),
        ({"crop": "grid", "stride": 32, "pad": "reflect"}, True),
        ({"crop": 64}, False),
        ({"regions": {"side": 512, "stride": 256, "above": 800}}, True),
        ({"regions": {"side": 512}}, False),
        ({"resize": [400, 608]}, True),
        ({"resize": 400}, False),
    ],
)
def test_what_is_cut_is_described(validator: Draft202012Validator, recipe: dict[str, Any], sound: bool) -> None:
    suite = {"suite": "s", "blocks": [{"recipe": recipe, "test_options": [{"sigma": 15}, {}]}]}
    assert (list(validator.iter_errors(suite)) == []) is sound


def test_trains_is_offered_and_learns_is_marked(schema: dict[str, Any]) -> None:
    stage = schema["$defs"]["StageMapping"]["properties"]
    assert "deprecated" not in stage["trains"]
    assert stage["learns"]["deprecated"]


def test_nothing_is_defined_twice_or_for_nobody(schema: dict[str, Any]) -> None:
    used = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)))
    assert used == set(schema["$defs"])
    assert len(json.dumps(schema)) < 100_000
