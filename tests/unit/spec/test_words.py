"""What a suite's mistakes are called: the word that was meant, the shape that is expected, which item it is."""

from __future__ import annotations

import pytest

from harness.core.errors import MOST_SHOWN, Problem, SpecErrors, UnknownName, did_you_mean
from harness.spec.distinct import _value
from harness.spec.sources import find_suite
from tests.suite_world import World

BLOCKS = "blocks: [{task: denoise, dataset: pictures, backbone: net}]\n"
HEAD = "suite: s\ndefaults: {dataset: pictures, recipe: {steps: 8}}\n"


def problem(world: World, text: str) -> Problem:
    [found] = world.problems(text)
    return found


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("bas", "did you mean 'base'?"),
        ("Base", "did you mean 'base'?"),
        ("base_continue", "did you mean 'base_continued'?"),
        ("mask", "a refiner stands in a mapping: {refiner: NAME, prior: NAME}"),
        ("[base]", "several values stand in `matrix`: matrix: {variant: [..., ...]}"),
    ],
)
def test_a_variant_of_another_shape_or_name(shared_world: World, value: str, hint: str) -> None:
    found = problem(shared_world, f"{HEAD}blocks: [{{task: denoise, backbone: net, variant: {value}}}]\n")
    assert (found.path, found.hint) == ("blocks.0.variant", hint)


@pytest.mark.parametrize(
    ("text", "path", "what", "hint"),
    [
        (
            "blocks: [{matrix: [{task: [denoise]}], backbone: net}]",
            "blocks.0.matrix",
            "expected a mapping, not a list",
            "write matrix: {task: [NAME, NAME], backbone: [NAME, NAME]}",
        ),
        (
            "defaults: {recipe: {pad: null}}",
            "defaults.recipe.pad",
            "expected none or reflect, not nothing (null)",
            "write none",
        ),
        ("run: [cpus, 2]", "run", "expected a mapping, not a list", "write run: {cpus: 2}"),
        (
            "run:",
            "run",
            "expected a mapping, not nothing (null)",
            "give it a value, indent what belongs to it",
        ),
        ("blocks: {task: denoise}", "blocks", "expected a list, not a mapping", "write blocks: [{task: NAME, back"),
        ("blocks: [denoise]", "blocks.0", "expected a mapping, not 'denoise'", "write - {task: NAME, backbone: NAME"),
        ("blocks: [{task: denoise, seeds: 0-4}]", "blocks.0.seeds", "expected a list, not '0-4'", "write seeds: [0, 1"),
        ("blocks: [{task: [denoise]}]", "blocks.0.task", "expected a name, or", "several values stand in `matrix`"),
        (
            "blocks: [{task: {denoise: {sigma: 3}}}]",
            "blocks.0.task",
            "'name' is missing",
            "the name is a value, too",
        ),
        (
            "blocks: [{matrix: {seeds: [1]}}]",
            "blocks.0.matrix.seeds",
            "unknown key 'seeds'",
            "seeds stands in the",
        ),
    ],
)
def test_a_value_of_another_shape(shared_world: World, text: str, path: str, what: str, hint: str) -> None:
    found = {each.path: each for each in shared_world.problems(f"suite: s\n{text}\n")}[path]
    assert found.what.startswith(what)
    assert found.hint.startswith(hint)


def test_a_seed_that_is_given_twice_is_named_where_it_stands_again(shared_world: World) -> None:
    found = shared_world.problems(f"{HEAD}blocks:\n  - {{task: denoise, backbone: net, seeds: [5, 0, 5, 7, 7]}}\n")
    assert [(each.line, each.column, each.path, each.what) for each in found] == [
        (4, 50, "blocks.0.seeds.2", "the seed 5 is given twice: it is item 0, too"),
        (4, 56, "blocks.0.seeds.4", "the seed 7 is given twice: it is item 3, too"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: [1, 2\nb: 3\n", 2, "the '[' that begins in line 1 is not closed"),
        ("a: {b: 1\n", 2, "the '{' that begins in line 1 is not closed"),
        ("a: 'b\nc: d\n", 3, "the quotes that begin in line 1 are not closed"),
        ("a:\n  b: 1\n c: 2\n", 3, "this line does not go on with a mapping, which begins in line 1"),
        ("a:\n  - 1\n  b: 2\n", 3, "this line does not go on with a list, which begins in line 2"),
    ],
)
def test_broken_syntax_says_where_it_begins(shared_world: World, text: str, line: int, what: str) -> None:
    found = problem(shared_world, text)
    assert (found.line, found.what) == (line, what)
    assert found.hint


def test_a_missing_include_names_near_files_only(world: World) -> None:
    for name in ("tab.yaml", "nul.yaml", "common_blocks.yaml"):
        world.write("suite: x\n", name)
    hints = {}
    for name in ("a.yaml", "comon_blocks.yaml"):
        found = world.problems(f"suite: s\ninclude: [{name}]\n")
        hints[name] = next(each.hint for each in found if each.path == "include")
    assert hints["a.yaml"] == f"it is looked for in {world.folder}"
    assert hints["comon_blocks.yaml"] == "did you mean 'common_blocks.yaml'?"


def test_a_folder_is_no_file_to_include_or_to_load(world: World) -> None:
    for text in ("include: [.]", "plugins: [.]"):
        hints = {each.path: each.hint for each in world.problems(f"suite: s\n{text}\n{BLOCKS}")}
        assert hints[text.partition(":")[0]] == f"name a file in {world.folder}"


def test_a_value_that_cannot_be_read_is_one_mistake(world: World) -> None:
    found = problem(world, 'suite: "\\ud83d"\n' + BLOCKS)
    assert found.what == "half of a character (a lone surrogate)"


def test_after_a_missing_plugin_no_name_is_missed(world: World) -> None:
    found = problem(world, "suite: s\nplugins: [gone.py]\nblocks: [{task: my_task, dataset: mine, backbone: my_net}]\n")
    assert found.path == "plugins"


def test_a_folder_names_the_suites_in_it(world: World) -> None:
    world.write("a: 1\n", "aaa.yaml")
    world.write("suite: s\n", "suite.yaml")
    with pytest.raises(UnknownName) as caught:
        find_suite(str(world.folder))
    assert caught.value.hint.startswith("name a file in it: ")
    assert "aaa.yaml" not in caught.value.hint


def test_a_name_in_other_letters_is_the_only_one_meant() -> None:
    assert did_you_mean("adamW", ["adam", "adamw", "radam", "sgd"]) == "did you mean 'adamw'?"


def test_a_message_lists_so_many_mistakes_and_no_control_characters() -> None:
    many = [Problem("f", number, 1, "a\x1b[31m", "b\u202ec") for number in range(1, MOST_SHOWN + 6)]
    lines = str(SpecErrors(many)).splitlines()
    assert (len(lines), lines[-1]) == (MOST_SHOWN + 1, "and 5 more mistakes")
    assert lines[0] == "f:1:1 · a\\x1b[31m · b\\u202ec"


# --- labels -------------------------------------------------------------------------------------------------------


def test_one_thing_has_one_label(shared_world: World) -> None:
    two = "[{name: net, label: A}, {name: net, label: B}]"
    found = problem(shared_world, f"{HEAD}blocks: [{{task: denoise, matrix: {{backbone: {two}}}}}]\n")
    assert found.path == "blocks.0.matrix.backbone.1.label"
    assert found.what == "the same backbone is called 'A' elsewhere in this suite, and 'B' here"


def test_one_recipe_has_one_label(shared_world: World) -> None:
    """The table would show one of the two."""
    two = "[{label: a, steps: 5}, {label: b, steps: 5}]"
    found = problem(shared_world, f"{HEAD}blocks: [{{task: denoise, backbone: net, matrix: {{recipe: {two}}}}}]\n")
    assert found.path == "blocks.0.matrix.recipe.1.label"
    assert found.what == "the same recipe is called 'a' elsewhere in this suite, and 'b' here"


def test_two_networks_of_a_table_never_share_a_label(shared_world: World) -> None:
    two = "[{name: net, width: 1, label: N}, {name: net, width: 2, label: N}]"
    found = problem(shared_world, f"{HEAD}blocks: [{{task: denoise, matrix: {{backbone: {two}}}}}]\n")
    assert found.path == "blocks.0.matrix.backbone.1.label"
    assert found.what == "two networks are called 'N': this one and another one with other options"
    tasks = "zip: {task: [denoise, rainy], backbone: [{name: net, width: 1, label: N}, {name: other, label: N}]}"
    assert shared_world.expand(f"{HEAD}blocks: [{{{tasks}}}]\n").cells  # each in the table of its task


def test_two_data_sets_never_share_a_label(shared_world: World) -> None:
    two = "[{name: pictures, label: P}, {name: pictures, size: 8, label: P}]"
    found = problem(shared_world, f"{HEAD}blocks: [{{task: denoise, backbone: net, test: {two}}}]\n")
    assert (found.path, found.what) == (
        "blocks.0.test.1.label",
        "two data sets are called 'P': pictures with other options",
    )


@pytest.mark.parametrize(
    ("label", "what"),
    [
        ('"a\\e[31mb"', "expected a label of printable characters, not 'a\\x1b[31mb'"),
        ('""', "expected at least 1 characters, not empty text"),
        ("x" * 101, "expected at most 100 characters, not 101 characters"),
        ("=1+1", "expected a label that begins with another character than = + - @, not '=1+1'"),
        ("'@x'", "expected a label that begins with another character than = + - @, not '@x'"),
    ],
)
def test_a_label_fits_a_table(shared_world: World, label: str, what: str) -> None:
    text = f"{HEAD}blocks: [{{task: denoise, backbone: {{name: net, label: {label}}}}}]\n"
    assert problem(shared_world, text).what == what


def test_a_label_holds_the_beginning_of_a_digest() -> None:
    digest = "0123456789abcdef" * 4
    for value in (digest, f"sha256:{digest}"):
        assert _value("variant.prior.digest", {"variant.prior.digest": value}) == "01234567"
