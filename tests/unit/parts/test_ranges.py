"""The ranges of all parts' options: each has one, what lies inside can be built, what lies outside is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.api.declaration import Declaration, read_declaration
from harness.api.kinds import KINDS
from harness.api.options import adapter_of, refers_to
from harness.api.traits import all_hold
from harness.core.errors import HarnessError, SpecErrors
from harness.core.source import REQUIRED
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite

ANY_NUMBER = {
    "backbone enlightengan skip": "a factor of the image, of either sign",
    "backbone uretinex r_offset": "added to a weight, of either sign; a rule keeps the weight positive",
    "backbone uretinex l_offset": "the same",
    "loss uretinex_unfolding r_offset": "that of the network",
    "loss uretinex_unfolding l_offset": "that of the network",
}
"""Options for which every finite number is right."""

PARTS = [(kind, entry.name) for kind in KINDS for entry in REGISTRY.entries(kind)]
LOW, HIGH = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")


def declared(kind: str, name: str) -> Declaration[Any]:
    return read_declaration(kind, REGISTRY.get(kind, name).target)


def schemas(kind: str, name: str) -> dict[str, dict[str, Any]]:
    """Option → JSON Schema of its values; without the options that name other parts."""
    options = declared(kind, name).options.values()
    return {option.name: adapter_of(option.annotation).json_schema() for option in options if not refers_to(option)}


def leaves(shape: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of the numbers in a value."""
    if shape.get("type") in ("integer", "number"):
        yield shape
    for inner in (*shape.get("anyOf", ()), *shape.get("prefixItems", ()), shape.get("items")):
        if isinstance(inner, dict):
            yield from leaves(inner)


def has_range(shape: dict[str, Any]) -> bool:
    return "enum" in shape or "const" in shape or all(any(key in shape for key in end) for end in (LOW, HIGH))


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_number_has_a_range(kind: str, name: str) -> None:
    for option, shape in schemas(kind, name).items():
        bounded = all(map(has_range, leaves(shape)))
        assert bounded == (f"{kind} {name} {option}" not in ANY_NUMBER), f"{option}: {json.dumps(shape)}"
        if shape.get("type") == "array" and "prefixItems" not in shape and [*leaves(shape)]:
            assert 1 <= shape["minItems"] <= shape["maxItems"] <= 64, option


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_the_defaults_keep_all_rules(kind: str, name: str) -> None:
    part = declared(kind, name)
    defaults = part.filled({})
    assert [rule.holds for rule in part.traits.rules if not rule.kept(defaults)] == []


BUILT = [
    *(("backbone", entry.name) for entry in REGISTRY.entries("backbone") if entry.name != "ruas"),
    *(("refiner", name) for name in ("ptg_rm", "smg", "smg_depth")),
    *(("loss", name) for name in ("enlightengan", "skf_adversarial", "smg_adversary", "zero_dce", "charbonnier")),
]
"""Parts with numbers that can be built without a file of weights."""
ON_CPU = {
    "grl": {
        "embed_dim": 24,
        "depths": (1,),
        "num_heads_window": (2,),
        "num_heads_stripe": (2,),
        "window_size": 4,
        "stripe_size": (4, 8),
    },
    "uformer": {"img_size": 32, "embed_dim": 16, "depths": (1,) * 9, "num_heads": (1,) * 9, "win_size": 4},
}
"""Networks that read numbers off tensors while they are built, so that they cannot be built on meta; small ones."""

LEVELS = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1, "heads": (1, 2, 4, 8)}
START: dict[str, dict[str, Any]] = {
    **ON_CPU,
    "restormer": LEVELS,
    "llformer": LEVELS,
    "promptir": LEVELS | {"prompt_dims": (4, 4, 4), "prompt_size": 8},
    "smg": {"size": 16},
    "smg_depth": {"size": 16},
    "nafnet": {"enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1), "middle_blk_num": 1},
}
"""Options of small networks, from which the draws start."""


def drawn(shape: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values inside a range, near its lower end where networks stay small."""
    if "const" in shape:
        return st.just(shape["const"])
    if "enum" in shape:
        return st.sampled_from(shape["enum"])
    if "anyOf" in shape:
        return st.one_of([drawn(inner) for inner in shape["anyOf"]])
    if shape["type"] == "array":
        if "prefixItems" in shape:
            return st.tuples(*map(drawn, shape["prefixItems"]))
        size = {"min_size": shape["minItems"], "max_size": max(shape["minItems"], 3)}
        return st.lists(drawn(shape["items"]), **size).map(tuple)
    simple = {"boolean": st.booleans(), "null": st.none(), "string": st.text("RrLlBI", max_size=3)}
    return simple[shape["type"]] if shape["type"] in simple else drawn_number(shape)


def drawn_number(shape: dict[str, Any]) -> st.SearchStrategy[Any]:
    if shape["type"] == "integer":
        low, step = shape["minimum"], shape.get("multipleOf", 1)
        first = -(-low // step)
        return st.integers(first, min(shape["maximum"] // step, first + 5)).map(lambda number: number * step)
    low = next((shape[key] for key in LOW if key in shape), -2.0)
    high = min(next((shape[key] for key in HIGH if key in shape), 2.0), low + 4)
    ends = {"exclude_min": "exclusiveMinimum" in shape, "exclude_max": high == shape.get("exclusiveMaximum")}
    return st.floats(low, high, **ends, allow_subnormal=False)


@pytest.mark.parametrize(("kind", "name"), BUILT)
@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_inside_can_be_built(kind: str, name: str, data: st.DataObject) -> None:
    part = declared(kind, name)
    start = part.filled(START.get(name, {}))
    shapes = schemas(kind, name)
    chosen = data.draw(st.sets(st.sampled_from(sorted(shapes)), max_size=3))
    options = {**start, **{option: data.draw(drawn(shapes[option]), label=option) for option in sorted(chosen)}}
    options = {option: value for option, value in options.items() if value is not REQUIRED}
    refused = [rule for rule in part.traits.rules if not rule.kept(options)]
    refused += [conflict for conflict in part.traits.conflicts if all_hold(conflict.when, options)]
    made = REGISTRY.load(kind, name)
    with torch.device("cpu" if name in ON_CPU else "meta"), torch.no_grad():
        if any(rule in part.traits.rules for rule in refused):
            with pytest.raises(HarnessError):
                made(*((8,) if name == "ptg_rm" else ()), **options)
        elif not refused:
            try:
                network = made(*((8,) if name == "ptg_rm" else ()), **options)
            except HarnessError:
                return  # what only the network itself can judge
            if kind == "backbone":
                run_small(network)


def run_small(network: Any) -> None:
    """A network that was built can restore: on meta no number is computed."""
    can = network.capabilities
    side = can.fitting(max(can.min_size, 8))
    if side <= 64:
        restored = network.eval()(torch.rand(1, can.channels_in, side, side))
        assert restored.shape == (1, can.channels_out, side, side)


def outside(shape: dict[str, Any]) -> Any:
    """A value just below the range, or a tuple of such numbers; None where there is no range."""
    if shape.get("type") == "array":
        items = shape["prefixItems"] if "prefixItems" in shape else [shape["items"]] * shape["minItems"]
        values = [outside(item) for item in items]
        return None if None in values else values
    if "anyOf" in shape:
        return next((value for value in map(outside, shape["anyOf"]) if value is not None), None)
    if "minimum" in shape:
        return shape["minimum"] - (1 if shape["type"] == "integer" else 1e-3)
    return shape.get("exclusiveMinimum")


def test_what_is_outside_is_told_at_its_line(tmp_path: Path) -> None:
    """One suite with an item per option: every one is a mistake at its own line, with the option's name."""
    file = tmp_path / "suite.yaml"
    lines = ["suite: outside", "defaults:", "  dataset: photos", "  recipe:", "    steps: 8", "    batch: 4"]
    lines += ["    patch: 64", "    losses:"]
    wanted = [line_of(lines, f"{line}}}", option) for line, option in items("loss", "    - {name: ")]
    lines += ["blocks:", "  - task: gaussian_denoise", "    matrix:", "      backbone:"]
    wanted += [line_of(lines, f"{line}}}", option) for line, option in items("backbone", "      - {name: ")]
    lines += ["      variant:"]
    wanted += [line_of(lines, f"{line}}}}}", option) for line, option in items("refiner", "      - {refiner: {name: ")]
    prior = "      - {refiner: ptg_rm, prior: {name: "
    wanted += [line_of(lines, f"{line}}}}}", option) for line, option in items("prior", prior)]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(SpecErrors) as caught:
        open_suite(str(file))
    told = {(problem.line, name) for problem in caught.value.problems for name in problem.path.split(".")}
    assert len(wanted) > 100
    assert [place for place in wanted if place not in told] == []


def items(kind: str, start: str) -> Iterator[tuple[str, str]]:
    """(line, option) for every option of every part of a kind that has a lower end."""
    for entry in REGISTRY.entries(kind):
        for option, shape in schemas(kind, entry.name).items():
            value = outside(shape)
            if value is not None:
                yield f"{start}{entry.name}, {option}: {json.dumps(value)}", option


def line_of(lines: list[str], line: str, option: str) -> tuple[int, str]:
    lines.append(line)
    return len(lines), option
