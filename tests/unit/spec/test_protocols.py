"""The protocols of a suite, and the options that a backbone shares with its task."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.api.protocols import RGB_UINT8, SIDD
from harness.api.task import EvaluationProtocol
from harness.cells.suite import ResolvedSuite
from harness.core.errors import Problem, SpecErrors
from harness.parts.plugins import extend, open_suite
from tests.suite_world import BASE, World

BLOCK = "blocks:\n  - {}\n"


def said(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.path, problem.what, problem.hint) for problem in problems]


def test_a_suite_names_protocols_in_the_order_of_its_tables(world: World) -> None:
    assert world.expand(BASE + BLOCK).protocols == ()
    assert world.expand(BASE + "protocols: [sidd, rgb_uint8]\n" + BLOCK).protocols == (SIDD, RGB_UINT8)


def test_protocols_change_no_cell(world: World) -> None:
    plain, asked = (world.expand(BASE + more + BLOCK) for more in ("", "protocols: [sidd]\n"))
    assert plain.cells == asked.cells


def test_a_plug_ins_protocol_has_a_name_as_well(world: World) -> None:
    suite = world.expand(BASE + "protocols: [rgb, sidd]\n" + BLOCK)
    assert suite.protocols == (EvaluationProtocol("rgb", 1), SIDD)


def test_mistakes_have_their_places(world: World) -> None:
    problems = world.problems(BASE + "protocols: [sidd, rgb_unit8, sidd]\n" + BLOCK)
    assert [(path, what) for path, what, _ in said(problems)] == [
        ("protocols.1", "no protocol is called 'rgb_unit8'"),
        ("protocols.2", "the protocol 'sidd' is given twice"),
    ]
    assert "'rgb_uint8'" in problems[0].hint
    assert (problems[0].line, problems[1].hint) == (3, "remove one")
    (empty,) = world.problems(BASE + "protocols: []\n" + BLOCK)
    assert empty.path == "protocols"


@pytest.fixture
def crowded(tmp_path: Path) -> World:
    """A world whose plug-ins define `mine` three times, `twin` twice with one version, and `sidd` again."""
    world = World(tmp_path)
    bring = {
        "one": "EvaluationProtocol('mine', 1)",
        "again": "EvaluationProtocol('mine', 1)",
        "two": "EvaluationProtocol('mine', 2, border=4)",
        "left": "EvaluationProtocol('twin', 1, border=4)",
        "right": "EvaluationProtocol('twin', 1, border=100)",
        "own": "EvaluationProtocol('sidd', 2, border=4)",
    }
    tasks = [
        f"class {name.title()}:\n    traits = TaskTraits(version=3, degradation='noise', protocol={protocol})\n"
        for name, protocol in bring.items()
    ]
    file = tmp_path / "tasks.py"
    catalogue = tuple(("task", name, name.title()) for name in bring)
    header = "from harness.api.task import EvaluationProtocol, TaskTraits\n"
    file.write_text(header + "".join(tasks) + f"CATALOGUE = {catalogue!r}\n")
    world.registry = extend(world.registry, [str(file)])
    return world


def test_a_name_that_two_protocols_have_is_a_mistake(crowded: World) -> None:
    problems = crowded.problems(BASE + "protocols: [mine, twin, sidd, mine/v1]\n" + BLOCK)
    assert said(problems) == [
        (
            "protocols.0",
            "two protocols are called mine: mine/v1 (of the task one, again), mine/v2 (of the task two)",
            "name one: mine/v1 or mine/v2",
        ),
        (
            "protocols.1",
            "two protocols are called twin: twin/v1 (of the task left), twin/v1 (of the task right)",
            "give each a name or a version of its own: they score in different ways",
        ),
        (
            "protocols.2",
            "two protocols are called sidd: sidd/v1 (built in), sidd/v2 (of the task own)",
            "name one: sidd/v1 or sidd/v2",
        ),
    ]
    (again,) = crowded.problems(BASE + "protocols: [rgb, rgb/v1]\n" + BLOCK)
    assert (again.path, again.what) == ("protocols.1", "the protocol 'rgb/v1' is given twice")
    (unknown,) = crowded.problems(BASE + "protocols: [mine/v7]\n" + BLOCK)
    assert unknown.what == "no protocol is called 'mine/v7'"
    assert "'mine'" in unknown.hint


def test_a_version_tells_protocols_of_one_name_apart(crowded: World) -> None:
    suite = crowded.expand(BASE + "protocols: [mine/v2, sidd/v1, mine/v1]\n" + BLOCK)
    assert suite.protocols == (EvaluationProtocol("mine", 2, border=4), SIDD, EvaluationProtocol("mine", 1))


def test_a_protocol_named_with_its_version_is_refused_at_its_place(world: World) -> None:
    (problem,) = world.problems(BASE + "protocols: [sidd/v1, noise_seed0/v1]\n" + BLOCK)
    assert problem.path == "protocols.1"


def test_noise_that_a_degradation_cannot_draw_so_is_refused(world: World) -> None:
    (problem,) = world.problems(BASE + "protocols: [sidd, noise_seed0]\n" + BLOCK)
    assert problem.path == "protocols.1"
    assert problem.what == (
        "the task denoise cannot be scored under noise_seed0: the degradation noise cannot draw its random numbers so"
    )


def real(tmp_path: Path, text: str) -> ResolvedSuite:
    """A suite of the package's own parts."""
    file = tmp_path / "suite.yaml"
    file.write_text(f"suite: real\ndefaults: {{dataset: photos}}\n{text}")
    return open_suite(str(file), ())[0]


def networks(suite: ResolvedSuite) -> list[tuple[object, str, object]]:
    """The task's σ, the backbone's label and its σ, of the trained cells."""
    return [
        (entry.cell.task.options.get("sigma"), entry.labels.backbone, entry.cell.backbone.options["sigma"])
        for entry in suite.cells
        if entry.cell.backbone is not None
    ]


TWO_LEVELS = "task: [gaussian_denoise, {name: gaussian_denoise, sigma: 50}]"


def test_gaussian_noise_can_be_drawn_as_the_field_does(tmp_path: Path) -> None:
    suite = real(
        tmp_path, "protocols: [noise_seed0]\nblocks: [{task: gaussian_denoise, backbone: {name: nafnet, width: 4}}]"
    )
    assert [protocol.name for protocol in suite.protocols] == ["noise_seed0"]


def test_drunet_is_told_the_tasks_noise_level(tmp_path: Path) -> None:
    suite = real(tmp_path, f"blocks: [{{matrix: {{{TWO_LEVELS}, backbone: [drunet]}}}}]")
    assert networks(suite) == [(25.0, "drunet", 25.0), (50.0, "drunet", 50.0)]


def test_a_task_without_a_noise_level_leaves_the_default(tmp_path: Path) -> None:
    suite = real(tmp_path, "blocks: [{task: derain, matrix: {backbone: [drunet, {name: drunet, sigma: 5}]}}]")
    assert [sigma for _, _, sigma in networks(suite)] == [25.0, 5.0]


def test_another_noise_level_than_the_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecErrors) as caught:
        real(tmp_path, f"blocks: [{{matrix: {{{TWO_LEVELS}, backbone: [{{name: drunet, sigma: 25}}]}}}}]")
    assert said(list(caught.value.problems)) == [
        (
            "blocks.0.matrix.backbone.0.sigma",
            "drunet is told sigma 25, and the task gaussian_denoise has 50",
            "leave sigma out: it is then the task's",
        )
    ]


def test_a_network_without_a_noise_map_contradicts_no_task(tmp_path: Path) -> None:
    text = f"blocks: [{{matrix: {{{TWO_LEVELS}, backbone: [{{name: drunet, sigma: null, in_nc: 3}}]}}}}]"
    assert [sigma for _, _, sigma in networks(real(tmp_path, text))] == [None, None]


def test_the_network_behind_a_prior_is_told_its_own_tasks_level(tmp_path: Path) -> None:
    prior = "{name: restoration, source: {task: {name: gaussian_denoise, sigma: 15}, backbone: drunet}}"
    variant = f"{{refiner: ptg_rm, prior: {prior}}}"
    suite = real(tmp_path, f"blocks: [{{task: derain, backbone: {{name: nafnet, width: 4}}, variant: {variant}}}]")
    (source,) = [entry.cell for entry in suite.cells if not entry.listed]
    assert source.backbone is not None
    assert source.backbone.options["sigma"] == 15.0


@pytest.mark.parametrize(
    ("old", "new"), [("y_uint8", "y_matlab"), ("gaussian_field", "noise_seed0"), ("y_uint8/v1", "y_matlab")]
)
def test_a_protocol_that_was_renamed_may_have_its_earlier_name(tmp_path: Path, old: str, new: str) -> None:
    block = "{task: gaussian_denoise, backbone: {name: nafnet, width: 4}}"
    named = real(tmp_path, f"protocols: [{old}]\nblocks: [{block}]")
    assert [protocol.name for protocol in named.protocols] == [new]


def test_both_names_of_a_protocol_are_one(world: World) -> None:
    (problem,) = world.problems(BASE + "protocols: [y_matlab, y_uint8]\n" + BLOCK)
    assert (problem.what, problem.hint) == ("the protocol 'y_uint8' is given twice", "remove one")
