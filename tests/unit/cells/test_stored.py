"""Suites and cells that earlier releases stored: read for their tables, and told apart."""

from __future__ import annotations

import json

from harness.api.sets import TestSet
from harness.cells.suite import ResolvedSuite
from tests.suite_world import World


def test_a_suite_of_earlier_releases_is_readable(world: World) -> None:
    """They named a test set by its data set alone, the policy of crops `tile`, and rules by a smaller number."""
    suite = world.blocks(
        "- {recipe: {crop: grid}, variant: {refiner: refine, prior: plain}, test: [pictures, test_only]}"
    )
    stored = json.loads(suite.model_dump_json())
    for entry in stored["cells"]:
        entry["tests"] = [test["dataset"] for test in entry["tests"]]
        entry["cell"]["rules"] = 2
        if entry["cell"]["backbone"]:
            entry["cell"]["variant"]["features"] = "tile"
            for field in ("crop", "regions", "resize", "pad"):
                del entry["cell"]["recipe"][field]
    again = ResolvedSuite.model_validate_json(json.dumps(stored))
    for before, after in zip(suite.cells, again.cells, strict=True):
        assert after.tests == tuple(
            TestSet(dataset=test.dataset, task=before.cell.task, split="test", condition={}) for test in before.tests
        )
        assert after.cell.id != before.cell.id
    assert again.cells[-1].cell.variant.features == "crop"


def test_test_sets_with_conditions_are_read_as_they_were_written(world: World) -> None:
    suite = world.blocks("- {test_options: [{sigma: 5}, {sigma: 50}]}")
    assert ResolvedSuite.model_validate_json(suite.model_dump_json()) == suite
    assert [test.condition for test in suite.cells[-1].tests] == [{"sigma": 5.0}, {"sigma": 50.0}]
