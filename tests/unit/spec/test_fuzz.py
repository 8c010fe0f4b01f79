"""Whatever stands in a suite file: a suite, or SpecErrors. Never a traceback."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cells.suite import ResolvedSuite
from harness.core.errors import SpecErrors
from harness.recipes.mapping import RecipeMapping
from harness.spec.expand import expand
from harness.spec.parse import load_suite
from harness.spec.schema import Axes, Block, CellMapping, Defaults, SuiteFile, VariantMapping

RELAXED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

FULL: dict[str, Any] = {
    "suite": "fuzz",
    "metrics": ["psnr"],
    "run": {"cpus": 1, "gpus": "auto"},
    "defaults": {"dataset": "pictures", "task": "denoise", "backbone": "net", "seeds": [0, 1], "recipe": {"steps": 3}},
    "blocks": [
        {
            "matrix": {
                "task": ["denoise", {"name": "denoise", "sigma": 5, "label": "weak"}],
                "variant": ["base", {"refiner": "refine", "prior": {"name": "mixed", "of": "plain"}}],
            },
            "zip": {
                "backbone": ["net", {"name": "net", "blocks": [1]}],
                "recipe": [{"lr": 0.1}, {"betas": [0.1, 0.2]}],
            },
            "exclude": [{"task": "weak", "seed": 1}],
        },
        {
            "variant": {
                "refiner": {"name": "refine", "head": "residual"},
                "prior": {"name": "learned", "source": {"task": "rainy", "backbone": "other"}},
                "regime": "frozen",
            },
            "test": ["test_only"],
        },
    ],
}

MODELS = (SuiteFile, Block, Defaults, Axes, VariantMapping, CellMapping, RecipeMapping)
KEYS = sorted(
    {key for model in MODELS for key in model.model_fields}
    | {"name", "label", "of", "source", "width", "sigma", "weight", "<<", "", "x"}
)  # fmt: skip
NAMES = [
    "base",
    "net",
    "other",
    "denoise",
    "rainy",
    "pictures",
    "plain",
    "mixed",
    "learned",
    "refine",
    "l1",
    "frozen",
    "yes",
]
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 10**7) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(NAMES) | st.text(max_size=6)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


def paths(value: Any, path: tuple = ()) -> list[tuple]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths(item, (*path, key))
    return found


def replaced(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def outcome(world, text: str, *overrides: str) -> ResolvedSuite | None:
    """The expanded suite, or None after SpecErrors whose problems are all complete."""
    path = world.folder / "fuzz.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        return expand(load_suite(str(path), overrides), world.registry)
    except SpecErrors as error:
        problems = error.problems
    assert problems
    for problem in problems:
        assert problem.file in (str(path), "--set")
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.what
    return None


def test_the_seed_of_the_mutations_is_a_suite(shared_world) -> None:
    assert outcome(shared_world, json.dumps(FULL)) is not None


@RELAXED
@given(st.sampled_from(paths(FULL)), VALUES)
def test_any_value_in_any_place(shared_world, path: tuple, value: Any) -> None:
    outcome(shared_world, json.dumps(replaced(FULL, path, value)))


@RELAXED
@given(st.sampled_from([path for path in paths(FULL) if isinstance(path[-1], str)]), st.sampled_from(KEYS), VALUES)
def test_any_key_beside_any_key(shared_world, path: tuple, key: str, value: Any) -> None:
    parent = FULL
    for step in path[:-1]:
        parent = parent[step]
    outcome(shared_world, json.dumps(replaced(FULL, path[:-1], {**parent, key: value})))


@RELAXED
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_any_mapping(shared_world, value: dict) -> None:
    outcome(shared_world, json.dumps(value))


TEXT = json.dumps(FULL, indent=1)
YAMLISH = st.text(st.sampled_from(list("ab01:-,[]{}&*!|>'\"#%@ \n\t\\.~<=?eE+")), max_size=80)


@RELAXED
@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.text(max_size=6) | YAMLISH)
def test_any_edit_of_the_text(shared_world, start: int, length: int, new: str) -> None:
    outcome(shared_world, TEXT[:start] + new + TEXT[start + length :])


@RELAXED
@given(YAMLISH)
def test_any_text_that_looks_like_yaml(shared_world, text: str) -> None:
    outcome(shared_world, text)
    outcome(shared_world, "suite: s\nblocks:\n" + text)


@RELAXED
@given(
    st.lists(
        YAMLISH
        | st.builds(lambda p, v: f"{'.'.join(map(str, p))}={json.dumps(v)}", st.sampled_from(paths(FULL)), VALUES),
        max_size=3,
    )
)
def test_any_overrides(shared_world, overrides: list[str]) -> None:
    outcome(shared_world, TEXT, *overrides)


@settings(RELAXED, max_examples=30)
@given(
    st.sampled_from([("run", "cpus"), ("defaults", "recipe", "steps"), ("blocks", 0, "zip", "recipe", 0, "lr")]),
    st.integers(5, 10**6),
)
def test_an_override_is_an_edit_of_the_file(shared_world, path: tuple, value: int) -> None:
    argument = f"{'.'.join(map(str, path))}={value}"
    assert outcome(shared_world, TEXT, argument) == outcome(shared_world, json.dumps(replaced(FULL, path, value)))
    assert outcome(shared_world, TEXT, argument) is not None
