"""What a task is on data sets that bring degraded images, and the options under which it is tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cells.cell import RULES
from harness.cells.suite import ResolvedSuite
from harness.parts.plugins import extend
from tests.suite_world import World

OWN = '''
"""A data set of pairs, degradations that are drawn or stand in for photographs, and a task without any."""
from typing import Annotated

from annotated_types import Ge, Le

from harness.api.backbone import BackboneTraits
from harness.api.dataset import DatasetTraits
from harness.api.degradation import DegradationTraits
from harness.api.reference import LocalFile
from harness.api.task import TaskTraits
from harness.api.traits import Unless
from harness.core.errors import DataError


class Pairs:
    """Pairs."""

    traits = DatasetTraits(pairs=True)

    def __init__(self) -> None: ...
    def splits(self): return ("train", "test")
    def fingerprint(self): return "pairs"


class Either:
    """Pairs where `lq` is given."""

    traits = DatasetTraits(pairs=Unless("lq", None))

    def __init__(self, *, lq: str | None = None) -> None: ...
    def splits(self): return ("train", "test")
    def fingerprint(self): return "either"


class Lost:
    """Pictures on a disk that is not here."""

    traits = DatasetTraits()

    def __init__(self, *, gt: LocalFile) -> None: ...
    def splits(self): return ("train", "test")
    def fingerprint(self): raise DataError("there is no such folder")


class Shade:
    """Stands in for dark photographs."""

    traits = DegradationTraits(quantised=True, synthetic=True)

    def __init__(self, *, depth: float = 0.5) -> None: ...


class Hiss:
    """Drawn at every draw."""

    traits = DegradationTraits(quantised=False, acts="drawn", varies=("level",))

    def __init__(
        self,
        *,
        level: Annotated[float, Ge(0), Le(9)] | tuple[Annotated[float, Ge(0)], Annotated[float, Le(9)]] = 2.0,
        round: bool = False,
    ) -> None: ...


class Brighten:
    """Brighten."""

    traits = TaskTraits(degradation="shade", options=("depth",), protocol="rgb_uint8")


class Quiet:
    """Remove hiss."""

    traits = TaskTraits(degradation="hiss", options=("level", "round"), protocol="rgb_uint8")


class Real:
    """Of real pairs alone."""

    traits = TaskTraits(degradation=None, protocol="rgb_uint8")


class Told:
    """Is told one level."""

    traits = BackboneTraits(from_task=("level",))

    def __init__(self, *, level: float | None = 1.0) -> None: ...


class ToldEach:
    """Is told the level of every image."""

    traits = BackboneTraits(from_task=("level",))

    def __init__(self, *, level: float | tuple[float, float] | None = 1.0) -> None: ...


CATALOGUE = (
    ("dataset", "pairs", "Pairs"),
    ("dataset", "either", "Either"),
    ("dataset", "lost", "Lost"),
    ("degradation", "shade", "Shade"),
    ("degradation", "hiss", "Hiss"),
    ("task", "brighten", "Brighten"),
    ("task", "quiet", "Quiet"),
    ("task", "real", "Real"),
    ("backbone", "told", "Told"),
    ("backbone", "told_each", "ToldEach"),
)
'''


@pytest.fixture
def pairs_world(world: World) -> World:
    plugin = Path(world.folder) / "own.py"
    plugin.write_text(OWN)
    world.registry = extend(world.registry, [str(plugin)])
    return world


def rows(suite: ResolvedSuite) -> list[tuple[str, str, str | None, list[Any]]]:
    """Task and backbone of every listed cell as tables call them, its degradation, and what it is tested on."""
    return [
        (
            entry.labels.task,
            entry.labels.backbone,
            entry.cell.task.derived_from.name if entry.cell.task.derived_from else None,
            [
                (test.dataset.name, test.task.derived_from.name if test.task.derived_from else None, test.condition)
                for test in entry.tests
            ],
        )
        for entry in suite.cells
        if entry.listed
    ]


@pytest.mark.parametrize(
    ("dataset", "made"),
    [
        ("pictures", "shade"),
        ("pairs", None),
        ("either", "shade"),
        ("{name: either, lq: null}", "shade"),
        ("{name: either, lq: dark}", None),
    ],
)
def test_degraded_images_of_the_data_set_stand_in_for_a_fixed_degradation(
    pairs_world: World, dataset: str, made: str | None
) -> None:
    cell = pairs_world.blocks(f"- {{task: brighten, dataset: {dataset}}}").cells[-1].cell
    assert (cell.task.derived_from and cell.task.derived_from.name) == made
    assert cell.task.options == ({"depth": 0.5} if made else {})
    assert cell.train_samples.noise is None
    assert (cell.train_samples.stored.degradation is None) == (made is None)


@pytest.mark.parametrize("dataset", ["pictures", "pairs"])
def test_what_is_drawn_is_always_drawn_on_clean_images(pairs_world: World, dataset: str) -> None:
    cell = pairs_world.blocks(f"- {{task: quiet, dataset: {dataset}}}").cells[-1].cell
    assert cell.task.derived_from.drawn
    assert cell.train_samples.stored.degradation is None
    assert cell.train_samples.noise == cell.task.derived_from


def test_train_and_test_sets_are_resolved_apart_and_labelled_apart(pairs_world: World) -> None:
    suite = pairs_world.blocks("- {task: brighten, matrix: {dataset: [pictures, pairs]}, test: [pairs, pictures]}")
    tests: list[tuple[str, str | None, dict[str, float]]] = [("pairs", None, {}), ("pictures", "shade", {})]
    assert rows(suite) == [
        ("brighten (synthetic)", "input", "shade", tests),
        ("brighten (synthetic)", "net", "shade", tests),
        ("brighten", "input", None, tests),
        ("brighten", "net", None, tests),
    ]
    assert len({entry.cell.id for entry in suite.cells}) == 4
    assert suite.cells[0].tests == suite.cells[2].tests


def test_pairs_are_told_apart_where_the_degradation_imitates_nothing(pairs_world: World) -> None:
    suite = pairs_world.blocks("- {task: rainy, matrix: {dataset: [pictures, pairs]}}")
    inputs = [entry.labels.variant for entry in suite.cells if entry.cell.backbone is None]
    assert inputs == ["input [task.of.name=noise, sigma=1, clip=false]", "input [task.of=—]"]


def test_an_input_has_the_rules_and_one_row_for_a_task_of_several_data_sets(pairs_world: World) -> None:
    suite = pairs_world.blocks("- {task: brighten, matrix: {dataset: [pictures, {name: pictures, size: 5}]}}")
    inputs = [entry for entry in suite.cells if entry.cell.backbone is None]
    assert [(entry.cell.rules, len(entry.tests)) for entry in inputs] == [(RULES, 2)]


def test_labels_of_a_task_hold_for_pairs_too(pairs_world: World) -> None:
    suite = pairs_world.blocks("- {matrix: {task: [{name: brighten, label: light}], dataset: [pairs, pictures]}}")
    assert [task for task, backbone, _, _ in rows(suite) if backbone == "net"] == ["light", "light (synthetic)"]


def test_a_network_behind_a_prior_may_learn_what_is_drawn_on_any_images(pairs_world: World) -> None:
    suite = pairs_world.blocks("""
        - task: real
          dataset: pairs
          variant: {refiner: refine, prior: {name: learned, source: {task: quiet, backbone: net}}}
        """)
    assert [entry.cell.task.name for entry in suite.cells if not entry.listed] == ["quiet"]


def test_rules_exclude_by_the_name_that_tables_show(pairs_world: World) -> None:
    block = "- {matrix: {task: [brighten], dataset: [pairs, pictures]}, exclude: [{task: '%s'}]}"
    kept = pairs_world.blocks(block % "brighten (synthetic)")
    assert {entry.cell.train.name for entry in kept.cells} == {"pairs"}


def test_the_network_behind_a_prior_sees_the_images_of_its_data_set(pairs_world: World) -> None:
    suite = pairs_world.blocks("""
        - task: brighten
          dataset: pairs
          matrix:
            variant:
              - {refiner: refine, prior: {name: learned, source: {task: brighten, backbone: net, seed: 3}}}
              - {refiner: refine, prior: {name: learned, source: {task: brighten, backbone: net, dataset: pictures}}}
        """)
    sources = [entry.cell for entry in suite.cells if not entry.listed]
    assert [(cell.train.name, cell.task.derived_from is None) for cell in sources] == [
        ("pairs", True),
        ("pictures", False),
    ]


@pytest.mark.parametrize(
    ("block", "path", "what", "hint"),
    [
        (
            "{task: {name: brighten, depth: 0.5}, dataset: pairs}",
            "blocks.0.task.depth",
            "depth does nothing: pairs brings its degraded images",
            "remove it, or give the data set a block of its own",
        ),
        (
            "{task: {name: brighten, depth: 0.4}, dataset: pairs, test: [pairs]}",
            "blocks.0.task.depth",
            "depth does nothing: pairs brings its degraded images",
            "remove it, or give the data set a block of its own",
        ),
        (
            "{task: real}",
            "defaults.dataset",
            "the task real makes no inputs, and the data set pictures brings no degraded images",
            "a data set that brings degraded images, as `folder` with `lq` and `gt`",
        ),
        (
            "{task: real, dataset: {name: either, lq: dark}, test: [pairs, either]}",
            "blocks.0.test.1",
            "the task real makes no inputs, and the data set either brings no degraded images",
            "a data set that brings degraded images, as `folder` with `lq` and `gt`",
        ),
        (
            "{task: real, dataset: pairs, variant: {refiner: refine, prior: {name: learned, source:"
            " {task: {name: brighten, depth: 1}, backbone: net}}}}",
            "blocks.0.variant.prior.source.task.depth",
            "depth does nothing: pairs brings its degraded images",
            "remove it, or give the data set a block of its own",
        ),
        (
            "{task: real, dataset: pairs, variant: {refiner: refine, prior: {name: learned, source:"
            " {task: brighten, backbone: net}}}}",
            "blocks.0.variant.prior.source.task",
            "the network behind the prior would learn brighten from the pairs of real",
            "give it a data set of its own: dataset: NAME beside task",
        ),
        (
            "{task: {name: real, depth: 3}, dataset: pairs}",
            "blocks.0.task.depth",
            "task real has no option 'depth'",
            "task real has no options",
        ),
        (
            "{task: brighten, dataset: pairs, test_options: [{depth: 1}]}",
            "blocks.0.test_options.0",
            "test options do nothing on pairs, which brings its degraded images",
            "remove them, or test the data set in a block of its own",
        ),
        (
            "{task: brighten, dataset: {name: pairs, label: mine}, test_options: [{depth: 1}]}",
            "blocks.0.test_options.0",
            "test options do nothing on mine, which brings its degraded images",
            "remove them, or test the data set in a block of its own",
        ),
        (
            "{task: quiet, test_options: [{levle: 1}]}",
            "blocks.0.test_options.0.levle",
            "task quiet has no option 'levle'",
            "did you mean 'level'?",
        ),
        (
            "{task: quiet, test_options: [{level: 10}]}",
            "blocks.0.test_options.0.level",
            "expected at most 9, not 10",
            "",
        ),
        (
            "{task: quiet, test_options: [{level: 1}, {round: true}, {level: 1.0}]}",
            "blocks.0.test_options.2",
            "these test options are given twice: item 0 means the same",
            "remove one",
        ),
        (
            "{task: quiet, test_options: [{}, {level: 2}]}",
            "blocks.0.test_options.1",
            "these test options are given twice: item 0 means the same",
            "remove one",
        ),
        (
            "{task: quiet, test_options: [{level: 2}, {}]}",
            "blocks.0.test_options.1",
            "these test options are given twice: item 0 means the same",
            "remove one",
        ),
        (
            "{task: brighten, test_options: [{}, {}]}",
            "blocks.0.test_options.1",
            "these test options are given twice: item 0 means the same",
            "remove one",
        ),
        (
            "{task: quiet, test_options: [{name: x}]}",
            "blocks.0.test_options.0.name",
            "name is no option of the task quiet",
            "remove it",
        ),
        (
            "{task: quiet, test_options: {level: 3}}",
            "blocks.0.test_options",
            "expected a list, not a mapping",
            "write test_options: [{sigma: 15}, {sigma: 25}]",
        ),
        (
            "{task: {name: quiet, level: [1, 5]}}",
            "blocks.0.task.level",
            "level [1,5] is drawn in training alone, and tests need single values",
            "beside the task write test_options: [{level: 3}, {level: 5}]",
        ),
        (
            "{task: {name: quiet, level: [1, 5]}, test_options: [{level: 3}, {round: true}]}",
            "blocks.0.task.level",
            "level [1,5] is drawn in training alone, and tests need single values",
            "beside the task write test_options: [{level: 3}, {level: 5}]",
        ),
        (
            "{task: quiet, test_options: [{level: [1, 5]}]}",
            "blocks.0.test_options.0.level",
            "a test image has one level, not a range",
            "test_options: [{level: 3}, {level: 5}]",
        ),
        (
            "{task: {name: quiet, level: [5, 1]}, test_options: [{level: 3}]}",
            "blocks.0.task.level",
            "level begins at 5, above its end 1",
            "level: [1, 5]",
        ),
        (
            "{task: {name: quiet, level: [1, 2, 3]}, test_options: [{level: 3}]}",
            "blocks.0.task.level",
            "expected at most 2 items, not 3",
            "",
        ),
        (
            "{task: {name: quiet, level: [2, 2]}}",
            "blocks.0.task.level",
            "the range of level is one value",
            "level: 2",
        ),
        (
            "{task: {name: quiet, level: [-1, 10]}, test_options: [{level: 3}]}",
            "blocks.0.task.level",
            "expected at least 0, not -1; expected at most 9, not 10",
            "",
        ),
        (
            "{task: {name: quiet, level: [1]}, test_options: [{level: 3}]}",
            "blocks.0.task.level",
            "item 1 is missing",
            "",
        ),
        (
            "{task: {name: quiet, level: [1, 5]}, backbone: told, test_options: [{level: 3}]}",
            "blocks.0.backbone",
            "told is told one level, and the task quiet draws it from [1,5]",
            "level: null if it can do without, or one level in the task",
        ),
    ],
)
def test_what_does_not_go_together(pairs_world: World, block: str, path: str, what: str, hint: str) -> None:
    found = pairs_world.block_problems(f"- {block}")
    assert [(problem.path, problem.what, problem.hint) for problem in found] == [(path, what, hint)]


def test_every_test_set_is_crossed_with_the_test_options(pairs_world: World) -> None:
    suite = pairs_world.blocks("""
        - task: {name: quiet, level: [0, 5]}
          test: [pictures, pairs]
          test_options: [{level: 1}, {level: 3, round: true}]
        """)
    tests = [
        ("pictures", "hiss", {"level": 1.0}),
        ("pictures", "hiss", {"level": 3.0, "round": True}),
        ("pairs", "hiss", {"level": 1.0}),
        ("pairs", "hiss", {"level": 3.0, "round": True}),
    ]
    assert rows(suite) == [("quiet", "input", "hiss", tests), ("quiet", "net", "hiss", tests)]
    first, second = suite.cells[-1].tests[:2]
    assert first.task.options == {"level": 1.0, "round": False}
    assert first.task.derived_from.options == {"level": 1.0, "round": False}
    assert second.samples().noise.options == {"level": 3.0, "round": True}
    assert suite.cells[-1].cell.task.options["level"] == [0.0, 5.0]


def test_test_options_train_nothing_anew(pairs_world: World) -> None:
    plain = pairs_world.blocks("- {task: quiet}").cells[-1].cell
    tested = pairs_world.blocks("- {task: quiet, test_options: [{}, {level: 1}]}").cells[-1]
    assert tested.cell.id == plain.id
    assert [test.condition for test in tested.tests] == [{}, {"level": 1.0}]


def test_a_block_has_its_own_test_options_or_those_of_the_defaults(pairs_world: World) -> None:
    suite = pairs_world.expand("""
        suite: s
        defaults: {dataset: pictures, task: quiet, backbone: net, test_options: [{level: 4}]}
        blocks:
          - {seeds: [0]}
          - {seeds: [1], test_options: [{level: 5}]}
          - {seeds: [2], task: brighten, test_options: [{}]}
        """)
    trained = [entry for entry in suite.cells if entry.cell.backbone]
    assert [[test.condition for test in entry.tests] for entry in trained] == [[{"level": 4.0}], [{"level": 5.0}], [{}]]


def test_a_network_that_is_told_gets_the_tasks_range(pairs_world: World) -> None:
    block = "- {task: {name: quiet, level: [1, 5]}, backbone: %s, test_options: [{level: 3}]}"
    told = [
        pairs_world.blocks(block % each).cells[-1].cell.backbone for each in ("told_each", "{name: told, level: null}")
    ]
    assert [ref.options["level"] for ref in told] == [[1.0, 5.0], None]


def test_data_sets_that_cannot_be_opened_are_told_apart(pairs_world: World) -> None:
    folders = [f"{{name: lost, label: {name}, gt: nowhere/{name}}}" for name in "AB"]
    one = pairs_world.blocks(f"- {{task: brighten, dataset: pairs, test: [{', '.join(folders)}]}}")
    (entry,) = [entry for entry in one.cells if entry.cell.backbone]
    first, second = (test.dataset for test in entry.tests)
    assert first.is_unread
    assert second.is_unread
    assert first.digest != second.digest
    assert sorted(one.dataset_labels.values()) == ["A", "B"]


def test_options_of_a_task_act_where_they_can(pairs_world: World) -> None:
    suite = pairs_world.blocks("""
        - task: {name: brighten, depth: 0.3}
          test: [pairs]
        - task: {name: brighten, depth: 0.2}
          test: [pictures, pairs]
          test_options: [{depth: 0.1}, {depth: 0.4}]
        - task: {name: brighten, depth: 0.7}
          dataset: pairs
          test: [pictures]
        """)
    cells = [entry for entry in suite.cells if entry.cell.backbone]
    assert [entry.cell.task.options for entry in cells] == [{"depth": 0.3}, {"depth": 0.2}, {}]
    assert [[(test.dataset.name, test.task.options, test.condition) for test in entry.tests] for entry in cells] == [
        [("pairs", {}, {})],
        [
            ("pictures", {"depth": 0.1}, {"depth": 0.1}),
            ("pictures", {"depth": 0.4}, {"depth": 0.4}),
            ("pairs", {}, {}),
        ],
        [("pictures", {"depth": 0.7}, {})],
    ]
