"""Reading suite files: every mistake with its place, includes, overrides, names of shipped suites."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.core.errors import SpecErrors, UnknownName
from harness.spec.parse import load_suite
from harness.spec.sources import shipped_suites

FULL = """
suite: full
description: All there is
metrics: [psnr]
run: {cpus: 2, gpus: auto, checkpoint_every: 50}
defaults:
  dataset: photos
  seeds: [0, 1]
  recipe: {steps: 300, lr: 1e-4}
blocks:
  - matrix:
      task: [low_light, {name: gaussian_denoise, sigma: 25, label: noise}]
      variant: [base, {refiner: ptg_rm, prior: {name: shuffled, of: nss}, regime: from_base}]
    zip: {backbone: [nafnet, restormer], recipe: [{steps: 10}, {steps: 20}]}
    exclude: [{backbone: restormer, seed: [1]}]
    test: [photos]
"""


def wrong(path: Path, *overrides: str) -> list[str]:
    """Lines of problems without the folder."""
    try:
        problems = load_suite(str(path), overrides).problems
    except SpecErrors as error:
        problems = error.problems
    return [str(problem).replace(f"{path.parent}/", "") for problem in sorted(problems)]


def test_a_full_suite(world) -> None:
    suite = load_suite(str(world.write(FULL)))
    assert suite.problems == ()
    assert suite.run.cpus == 2
    assert suite.defaults.recipe is not None
    assert suite.defaults.recipe.lr == 1e-4
    assert suite.defaults.recipe.model_fields_set == {"steps", "lr"}
    block = suite.blocks[0]
    assert block.matrix is not None
    assert [task.name for task in block.matrix.task or ()] == ["low_light", "gaussian_denoise"]
    assert block.matrix.task[1].options == {"sigma": 25}
    assert block.matrix.task[1].label == "noise"
    assert block.matrix.variant[0].refiner is None
    assert block.matrix.variant[1].prior.options == {"of": "nss"}
    assert block.zip is not None
    assert [recipe.steps for recipe in block.zip.recipe or ()] == [10, 20]


@pytest.mark.parametrize("place", ["defaults.recipe", "blocks.0.zip.recipe.1"])
def test_two_mistakes_in_one_place(world, place: str) -> None:
    told = wrong(world.write(FULL), f"{place}.betas=[]")
    assert sum(f"{place}.betas" in line for line in told) == 2


def test_all_mistakes_are_told_together_in_the_order_of_lines(world) -> None:
    path = world.write("""
        suite: bad
        defaults: {dataset: photos, recipe: {stepz: 3, batch: "8"}}
        defaults: {}
        metric: [psnr]
        run: {gpus: many}
        blocks:
          - matrix:
              task: [low_light, {sigma: 25}, 3]
              backbone: nafnet
              variant: [base, {refiner: ptg_rm, prior: nss, regime: from_bas}, basic]
            recipe: {steps: 1e3, schedule: cosin, losses: [], lr: 1_0}
            sedes: [1]
          - matrix: {}
            exclude: [{bakcbone: x}]
        """)
    assert wrong(path) == [
        "suite.yaml:2:38 · defaults.recipe.stepz · unknown key 'stepz' · try: did you mean 'steps'?",
        "suite.yaml:2:55 · defaults.recipe.batch · expected a whole number, not '8' · try: write 8, without quotes or "
        "underscores",
        "suite.yaml:3:1 · defaults · the key 'defaults' is given twice (first in line 2) · try: remove one",
        "suite.yaml:4:1 · metric · unknown key 'metric' · try: did you mean 'metrics'?",
        "suite.yaml:5:13 · run.gpus · expected a whole number or auto, not 'many'",
        "suite.yaml:8:25 · blocks.0.matrix.task.1 · 'name' is missing",
        "suite.yaml:8:38 · blocks.0.matrix.task.2 · expected a name, or a mapping with `name` and options, not 3",
        "suite.yaml:9:17 · blocks.0.matrix.backbone · expected a list, not 'nafnet' · try: write [nafnet]",
        "suite.yaml:10:61 · blocks.0.matrix.variant.1.regime · expected joint, from_base or frozen, not 'from_bas' "
        "· try: did you mean 'from_base'?",
        "suite.yaml:10:72 · blocks.0.matrix.variant.2 · expected `base`, `base_continued`, or a mapping with "
        "`refiner` and `prior`, not 'basic' · try: did you mean 'base'?",
        "suite.yaml:11:21 · blocks.0.recipe.steps · expected a whole number, not 1000.0 · try: write 1000",
        "suite.yaml:11:36 · blocks.0.recipe.schedule · expected cosine, constant, step or linear, not 'cosin' "
        "· try: did you mean 'cosine'?",
        "suite.yaml:11:51 · blocks.0.recipe.losses · an empty list · try: give at least one item, or remove the key",
        "suite.yaml:11:59 · blocks.0.recipe.lr · expected a number, not '1_0' · try: write 10, without quotes or "
        "underscores",
        "suite.yaml:12:5 · blocks.0.sedes · unknown key 'sedes' · try: did you mean 'seeds'?",
        "suite.yaml:14:16 · blocks.1.exclude.0.bakcbone · unknown key 'bakcbone' · try: did you mean 'backbone'?",
    ]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("{refiner: x, prior: y, regime: yes}", "expected joint, from_base or frozen, not 'yes'", ""),
        ("yes", "expected `base`, `base_continued`, or a mapping", ""),
    ],
)
def test_yaml_1_1_words_are_text(world, text: str, what: str, hint: str) -> None:
    [line] = wrong(world.write(f"suite: s\nblocks: [{{matrix: {{variant: [{text}]}}}}]"))
    assert what in line
    assert hint in line


@pytest.mark.parametrize("text", ["", "# nothing\n", "--- \n"])
def test_an_empty_file(world, text: str) -> None:
    [line] = wrong(world.write(text))
    assert "the file is empty" in line


def test_a_file_that_is_no_mapping_or_no_text(world) -> None:
    assert "a suite is a mapping" in wrong(world.write("- a"))[0]
    path = world.folder / "binary.yaml"
    path.write_bytes(b"suite: \xff\xfe")
    assert wrong(path) == ["binary.yaml:1:1 · (file) · not UTF-8 text (byte 7, in line 1) · try: save it as UTF-8"]


def test_missing_keys_of_the_suite_are_told_with_the_rest(world) -> None:
    lines = wrong(world.write("metric: [psnr]\nblocks: [{sedes: [1]}]"))
    assert [line.split(" · ", 1)[1] for line in lines] == [
        "(file) · 'suite' is missing",
        "metric · unknown key 'metric' · try: did you mean 'metrics'?",
        "blocks.0.sedes · unknown key 'sedes' · try: did you mean 'seeds'?",
    ]
    assert "'blocks' is missing" in wrong(world.write("suite: x"))[0]


def test_a_name_that_would_be_a_bad_folder(world) -> None:
    assert "folder name" in wrong(world.write("suite: ../x\nblocks: [{task: a}]"))[0]


# --- finding ------------------------------------------------------------------------------------------------------


def test_a_shipped_suite_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_suite("smoke").suite == "smoke"
    assert {file.stem for file in shipped_suites()} >= {"smoke"}


def test_unknown_suites_get_the_nearest_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        load_suite("smok")
    assert caught.value.hint == "did you mean 'smoke'?"
    with pytest.raises(UnknownName, match="folder"):
        load_suite(str(tmp_path))


# --- include ------------------------------------------------------------------------------------------------------


def test_includes_merge_settings_and_join_blocks(world) -> None:
    (world.folder / "sub").mkdir()
    world.write("suite: deep\nmetrics: [lpips]\nblocks: [{task: t0}]", "sub/deep.yaml")
    world.write(
        """
        include: [sub/deep.yaml]
        run: {cpus: 4, samples: 9}
        defaults: {task: {name: gaussian_denoise, sigma: 25}, seeds: [5], recipe: {steps: 7, lr: 0.5}}
        blocks: [{task: t1}]
        """,
        "common.yaml",
    )
    suite = load_suite(
        str(
            world.write("""
        suite: top
        include: [common.yaml]
        run: {cpus: 1}
        defaults: {task: {name: low_light}, recipe: {steps: 8}}
        blocks: [{task: t2}]
        """)
        )
    )
    assert suite.problems == ()
    assert suite.suite == "top"
    assert [metric.name for metric in suite.metrics] == ["lpips"]
    assert (suite.run.cpus, suite.run.samples) == (1, 9)
    assert suite.defaults.seeds == (5,)
    assert (suite.defaults.recipe.steps, suite.defaults.recipe.lr) == (8, 0.5)
    assert suite.defaults.task.options == {}, "one part's options must not leak into another part"
    assert [block.task.name for block in suite.blocks] == ["t0", "t1", "t2"]


def test_mistakes_in_an_included_file_carry_its_name_and_line(world) -> None:
    world.write("run:\n  cpu: 3\nrun: {}\nblocks:\n- sedes: [0]\n", "common.yaml")
    path = world.write("suite: top\ninclude: [common.yaml]\nblocks:\n- seedz: [0]\n")
    assert wrong(path) == [
        "common.yaml:2:3 · run.cpu · unknown key 'cpu' · try: did you mean 'cpus' or 'gpus'?",
        "common.yaml:3:1 · run · the key 'run' is given twice (first in line 1) · try: remove one",
        "common.yaml:5:3 · blocks.0.sedes · unknown key 'sedes' · try: did you mean 'seeds'?",
        "suite.yaml:4:3 · blocks.1.seedz · unknown key 'seedz' · try: did you mean 'seeds'?",
    ]


def test_includes_that_cannot_be(world) -> None:
    world.write("include: [suite.yaml]", "round.yaml")
    path = world.write("suite: s\ninclude: [round.yaml, comon.yaml, 3]\nblocks: [{task: t}]")
    world.write("a: 1", "common.yaml")
    lines = wrong(path)
    way = "suite.yaml → round.yaml → suite.yaml"
    assert lines[0] == f"round.yaml:1:11 · include · suite.yaml includes itself: {way} · try: remove this include"
    assert "suite.yaml:2:23 · include · no such file: comon.yaml · try: did you mean 'common.yaml'" in lines[1]
    assert "expected a file name" in lines[2]


def test_plugins_stand_relative_to_the_file_that_names_them(world) -> None:
    (world.folder / "sub").mkdir()
    (world.folder / "sub" / "mine.py").write_text("")
    world.write("plugins: [mine.py]", "sub/common.yaml")
    suite = load_suite(
        str(world.write("suite: s\ninclude: [sub/common.yaml]\nplugins: [parts.py]\nblocks: [{task: t}]"))
    )
    assert suite.plugins == (str(world.folder / "sub" / "mine.py"), str(world.folder / "parts.py"))
    lines = wrong(world.write("suite: s\nplugins: [part.py, x.txt, no/where.py]\nblocks: [{task: t}]"))
    assert "no such file: part.py · try: did you mean 'parts.py'?" in lines[0]
    assert "a plug-in is a .py file: x.txt" in lines[1]
    assert "there is no folder 'no'" in lines[2]


@pytest.mark.parametrize(
    ("key", "name", "what"),
    [
        ("plugins", "loop.py", "this link leads to no file: loop.py"),
        ("plugins", '"a\\0.py"', "no such file: 'a\\x00.py'"),
        ("plugins", f"{'n' * 300}.py", f"no such file: {'n' * 79}…"),
        ("plugins", "dir.py", "this is a folder, not a file: dir.py"),
        ("plugins", "~nobody_of_that_name/p.py", "no such file: ~nobody_of_that_name/p.py"),
        ("plugins", f"{'n' * 300}/p.py", f"no such file: {'n' * 79}…"),
        ("include", "loop.py", "this link leads to no file: loop.py"),
        ("include", '"a\\0.yaml"', "no such file: 'a\\x00.yaml'"),
        ("include", "n" * 300, f"no such file: {'n' * 79}…"),
    ],
)
def test_what_cannot_be_a_path_is_one_problem_with_its_place(world, key: str, name: str, what: str) -> None:
    (world.folder / "loop.py").symlink_to("loop.py")
    (world.folder / "dir.py").mkdir()
    [line] = wrong(world.write(f"suite: s\n{key}: [{name}]\nblocks: [{{task: t}}]"))
    assert line.startswith(f"suite.yaml:2:{len(key) + 4} · {key} · {what} · try: ")
    assert "dir.py'?" not in line


def test_a_suite_name_that_no_file_can_have() -> None:
    with pytest.raises(UnknownName, match="no suite of that name") as error:
        load_suite("n" * 300)
    assert len(error.value.where) == 80
    with pytest.raises(UnknownName, match="no suite of that name"):
        load_suite("a\0b")


# --- overrides ----------------------------------------------------------------------------------------------------


def test_overrides_reach_mappings_and_list_items(world) -> None:
    path = str(world.write(FULL))
    suite = load_suite(
        path,
        [
            "defaults.recipe.steps=10",
            "blocks.0.matrix.task.1.sigma=50",
            "blocks.0.matrix.variant.0={refiner: ptg_rm, prior: nss}",
            "blocks.0.recipe.betas=[0.5, 0.6]",
            "run.cpus=3",
        ],
    )
    assert suite.problems == ()
    assert suite.defaults.recipe.steps == 10
    assert suite.defaults.recipe.lr == 1e-4
    assert suite.blocks[0].matrix.task[1].options == {"sigma": 50}
    assert suite.blocks[0].matrix.variant[0].refiner.name == "ptg_rm"
    assert suite.blocks[0].recipe.betas == (0.5, 0.6)
    assert suite.run.cpus == 3


def test_an_override_changes_one_use_of_an_alias_only(world) -> None:
    path = world.write("suite: s\nblocks: [{backbone: &n {name: nafnet, width: 8}}, {backbone: *n}]")
    suite = load_suite(str(path), ["blocks.1.backbone.width=16"])
    assert [block.backbone.options["width"] for block in suite.blocks] == [8, 16]


def test_wrong_overrides_say_which_argument(world) -> None:
    overrides = ["steps", "run.cpu=3", "blocks.4.seeds=[1]", "suite.x=1", "run.cpus=[", "include=[a]"]
    assert wrong(world.write(FULL), *overrides) == [
        "--set:1:1 · (file) · 'steps' sets nothing · try: write KEY.KEY=VALUE",
        "--set:2:1 · run.cpu · unknown key 'cpu' · try: did you mean 'cpus' or 'gpus'?",
        "--set:3:1 · blocks.4.seeds · blocks has items 0 to 0, no 4",
        "--set:4:1 · suite.x · suite is 'full', which holds nothing · try: set suite as a whole, to a mapping",
        "--set:5:11 · (file) · expected the node content, but found '<stream end>' while parsing a flow node",
        "--set:6:1 · (file) · 'include' cannot be set here",
    ]  # fmt: skip


def test_an_override_to_nothing_is_null(world) -> None:
    suite = load_suite(str(world.write(FULL)), ["defaults.seeds="])
    assert suite.defaults.seeds is None


def test_moving_a_suite_changes_no_content(world, tmp_path: Path) -> None:
    path = world.write(FULL)
    other = tmp_path / "elsewhere" / "renamed.yaml"
    other.parent.mkdir()
    shutil.copy(path, other)
    assert load_suite(str(path)).model_dump() == load_suite(str(other)).model_dump()
