"""`bench check`, `bench list` and `bench explain`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from harness.api.protocols import PROTOCOLS
from harness.cli.main import app
from harness.core.paths import Layout, write_text
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite

HEAVY = ("torch", "ray", "mlflow", "accelerate", "webdataset", "pyiqa", "scipy", "pyarrow", "polars")

SUITE = """
suite: small
defaults: {dataset: photos, task: low_light, backbone: nafnet}
blocks:
  - matrix: {variant: [base, {refiner: ptg_rm, prior: nss}, {refiner: ptg_rm, prior: {name: shuffled, of: nss}}]}
"""


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE)
    return str(path)


def bench(*arguments: str, columns: str = "200") -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": columns})


# --- check --------------------------------------------------------------------------------------------------------


def test_a_sound_suite(suite: str) -> None:
    result = bench("check", suite)
    assert result.exit_code == 0
    assert result.output == f"{suite}: ok, 3 cells (1 task, 1 backbone, 3 variants, 1 seed), 1 input row\n"


def test_all_mistakes_of_all_suites_and_exit_code_2(suite: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("suite: bad\nblocks:\n  - {task: low_lihgt, dataset: photos, backbone: nafnet, sedes: [1]}\n")
    result = bench("check", str(bad), suite, "--set", "run.cpu=3")
    assert result.exit_code == 2
    assert "--set:1:1 · run.cpu · unknown key 'cpu'" in result.output
    assert (
        f"{bad}:3:12 · blocks.0.task · no task is called 'low_lihgt' · try: did you mean 'low_light'?" in result.output
    )
    assert f"{bad}:3:58 · blocks.0.sedes · unknown key 'sedes' · try: did you mean 'seeds'?" in result.output
    assert f"{bad}: 3 mistakes" in result.output
    assert f"{suite}: 1 mistake" in result.output
    assert "Traceback" not in result.output


def test_an_unknown_suite_or_none(suite: str) -> None:
    result = bench("check", "smoek", suite)
    assert result.exit_code == 2
    assert "did you mean 'smoke'?" in result.output
    assert "ok, 3 cells" in result.output
    assert bench("check").exit_code == 2


def test_the_schema_that_editors_get_is_the_one_that_is_stored() -> None:
    stored = Path(__file__).parents[3] / "results_schema" / "suite.v1.json"
    result = bench("check", "--json-schema")
    assert result.exit_code == 0
    assert result.output == stored.read_text(), "run: bench check --json-schema > results_schema/suite.v1.json"
    schema = json.loads(result.output)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$defs"]["prior_name"]["anyOf"][0] == {"$ref": "#/$defs/prior_known"}
    names = schema["$defs"]["prior_known"]["enum"]
    assert names == sorted(REGISTRY.names("prior"))
    recipe = schema["$defs"]["RecipeMapping"]["properties"]
    assert recipe["lr"]["description"] == "Peak learning rate."
    assert recipe["steps"]["default"] == 300
    assert all("description" in block for block in (recipe["warmup"], schema["properties"]["plugins"]))


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        (SUITE, True),
        (SUITE.replace("suite: small", "name: small"), False),
        (SUITE.replace("matrix", "matirx"), False),
        (SUITE.replace("[base, ", "[3, "), False),
        (SUITE + "run: {gpus: auto, cpus: 2}", True),
        (SUITE + "run: {gpus: all}", False),
        (SUITE + "    recipe: {steps: 0}", False),
        (SUITE + "    recipe: {losses: [charbonnier, {name: perceptual, weight: 0.1}], betas: [0.9, 0.99]}", True),
    ],
)
def test_the_schema_judges_as_the_parser_does(text: str, sound: bool, tmp_path: Path) -> None:
    from harness.core.yaml import Place, load

    tree, _ = load(text, Place("x"))
    assert tree is not None
    schema = json.loads(bench("check", "--json-schema").output)
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(json.loads(json.dumps(tree.plain))))
    assert (not errors) is sound
    path = tmp_path / "s.yaml"
    path.write_text(text)
    assert (bench("check", str(path)).exit_code == 0) is sound


# --- list ---------------------------------------------------------------------------------------------------------


def test_list_alone_is_a_page_with_every_name() -> None:
    result = bench("list")
    assert result.exit_code == 0
    listed = [entry.name for entry in REGISTRY.entries()]
    assert len(listed) > 20
    assert all(name in result.output for name in listed)
    assert "smoke" in result.output
    assert len(bench("list", columns="80").output.splitlines()) <= 50
    assert max(map(len, bench("list", columns="40").output.splitlines())) <= 40


def test_list_of_one_part_says_what_its_options_may_be() -> None:
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in bench("list", "losses", "charbonnier").output.splitlines()
        if "│" in line
    ]
    assert ["reduction", "mean", "mean or sum"] in rows
    assert ["clamp", "false", "true or false"] in rows
    assert "sigma=25.0" in bench("list", "tasks").output
    unknown = bench("list", "losses", "charbonier")
    assert (unknown.exit_code, "did you mean 'charbonnier'?" in unknown.output) == (2, True)
    assert bench("list", "recipes", "x").exit_code == 2


@pytest.mark.parametrize(
    ("kind", "marked"),
    [("tasks", {"low_light", "derain", "motion_blur"}), ("degradations", {"low_light", "rain", "motion_blur"})],
)
def test_list_marks_what_imitates_photographs(kind: str, marked: set[str]) -> None:
    lines = bench("list", kind).output.splitlines()
    assert {line.split()[1] for line in lines if "(synthetic)" in line} == marked
    assert [line.split()[1] for line in lines if "white Gaussian noise" in line]


def test_list_of_one_kind_and_of_a_plugin(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from harness.api.prior import PriorTraits\n"
        'class Mine:\n  """Zeros."""\n  traits = PriorTraits(derived=True)\n'
        "  def __init__(self, *, of: PriorRef, on: bool = True, n: tuple[int, ...] = (1, 2), "
        'x: str | None = None): ...\nCATALOGUE = [("prior", "mine", "Mine")]\n'
    )
    result = bench("list", "priors", "--plugin", str(plugin))
    assert result.exit_code == 0
    assert "Zeros." in result.output
    assert all(text in result.output for text in ("of=", "on=true", "n=[1, 2]", "x=null"))
    assert "nafnet" not in result.output


def test_list_of_recipes_says_what_they_set_and_where_it_comes_from() -> None:
    result = bench("list", "recipes")
    assert result.exit_code == 0
    shown = ("restormer/derain", "v1", "300,000 steps", "batch 64→40→32→16→8 (8 GPUs)", "patch 128→160→192→256→320→384")
    assert all(text in result.output for text in shown)
    assert all(
        text in result.output for text in ("adamw 0.0003, cosine from step 92,000 on", "charbonnier + 0.05 edge")
    )
    assert all(text in result.output for text in ("Zamir et al., CVPR 2022", "the network's own losses"))
    options = ("backbone.enc_blk_nums=[1, 1, 1, 28]", "refiner.head=residual", "backbone.local_connection=false")
    assert all(text in result.output for text in (*options, "task.quantise=floor (the authors' data)"))


def test_list_of_protocols_has_those_of_plug_ins(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from harness.api.task import EvaluationProtocol, TaskTraits\n"
        'class Mine:\n  """Rain."""\n  traits = TaskTraits(degradation="rain",'
        ' protocol=EvaluationProtocol("cut", 2, border=4))\n'
        'class Other:\n  """Rain."""\n  traits = TaskTraits(degradation="rain",'
        ' protocol=EvaluationProtocol("cut", 1, border=8))\n'
        'CATALOGUE = [("task", "mine", "Mine"), ("task", "other", "Other")]\n'
    )
    result = bench("list", "protocols", "--plugin", str(plugin))
    assert result.exit_code == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines()]
    found = {(row[0], row[1]): (row[2], row[3]) for row in rows if len(row) == 4}
    assert {name for name, _ in found} == {*PROTOCOLS, "cut"}
    assert "noise seeded with 0 before every image" in found["noise_seed0", "1"][0]
    assert "read at 960×512" in found["sid_resized", "1"][0]
    assert found["y_matlab", "1"][1] == "deraining: swz30/Restormer, Deraining/evaluate_PSNR_SSIM.m"
    assert found["cut", "2"] == ("RGB, 8 bits, 4 pixels cut from every side, SSIM of three maps", "the task mine")
    assert found["cut", "1"] == ("RGB, 8 bits, 8 pixels cut from every side, SSIM of three maps", "the task other")


def test_list_of_nothing_known() -> None:
    result = bench("list", "prior")
    assert result.exit_code == 2
    assert "did you mean 'priors'?" in result.output


# --- explain ------------------------------------------------------------------------------------------------------


def test_explain_names_the_fields_that_differ(suite: str) -> None:
    cells = [entry.cell.id for entry in open_suite(suite)[0].cells]
    result = bench("explain", cells[2][:8], cells[3], "--suite", suite)
    assert result.exit_code == 0
    rows = [line.split("│")[1:-1] for line in result.output.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["variant.prior.name", "nss", "shuffled"],
        ["variant.prior.options.scales", "2", "—"],
        ["variant.prior.of", "—", "nss"],
    ]
    assert "one and the same" in bench("explain", cells[2], cells[2], "--suite", suite).output


def test_explain_reads_a_folder_of_results(suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved, _ = open_suite(suite)
    old = resolved.cells[1].cell.model_copy(update={"seed": 9})
    layout = Layout(tmp_path / "results" / "small", tmp_path / "data")
    write_text(layout.suite("small"), resolved.model_dump_json())
    write_text(layout.suite("broken"), "{")
    record = {"cell": old.model_dump(mode="json"), "labels": {"task": "t", "backbone": "b", "variant": "v"}}
    write_text(layout.record(old.id), json.dumps(record))
    write_text(layout.record("000000000000"), '{"cell": 3}')
    cell = resolved.cells[1].cell.id
    result = bench("explain", cell, old.id, "--out", str(layout.out))
    assert result.exit_code == 0
    assert "│ seed" in result.output
    assert result.output.count("left out") == 2
    monkeypatch.chdir(tmp_path)
    assert "│ seed" in bench("explain", cell, old.id).output


def test_explain_of_unknown_cells(suite: str) -> None:
    for arguments in (("zzz", "yyy"), ("", "")):
        result = bench("explain", *arguments, "--suite", suite)
        assert result.exit_code == 2
        assert "no cell begins with" in result.output


# --- weight -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["check", "smoke", "--quick"], ["list"], ["explain", "a", "b", "--suite", "smoke"], ["--help"]]
)
def test_no_heavy_import(arguments: list[str]) -> None:
    code = (
        "import sys; from harness.cli.main import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "HEAVY []"
    assert "Traceback" not in result.stderr


def test_a_thousand_cells_are_expanded_at_once(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    widths = [{"name": "nafnet", "width": width} for width in range(8, 58)]
    variants = ["base", {"refiner": "ptg_rm", "prior": {"name": "shuffled", "of": "nss"}, "regime": "from_base"}]
    block = {"matrix": {"task": ["low_light", "derain"], "backbone": widths, "variant": variants}}
    suite = {"suite": "big", "defaults": {"dataset": "photos", "seeds": [0, 1, 2, 3, 4]}, "blocks": [block]}
    path.write_text(json.dumps(suite))
    open_suite("smoke")  # imports
    started = time.process_time()
    resolved, _ = open_suite(str(path))
    seconds = time.process_time() - started
    assert len(resolved.cells) == 2 * 50 * 3 * 5 + 2
    assert seconds < 1.5


FOLDERS = """
suite: mine
defaults:
  dataset: photos
  backbone: {name: nafnet, width: 8}
blocks:
  - {task: low_light, dataset: {name: folder, label: gone, gt: nowhere, lq: here/lq}}
  - {task: low_light, dataset: {name: folder, label: odd, gt: here/gt, lq: here/lq}}
  - {task: low_light, dataset: {name: folder, gt: here/gt, skip: [zz.png]}}
  - {task: gaussian_denoise, dataset: {name: folder, label: noisy, gt: here/gt, lq: here/gt2}}
"""


def test_data_sets_that_cannot_be_opened_are_named_where_the_suite_names_them(tmp_path: Path) -> None:
    for name in ("gt/0.png", "gt/1.png", "gt2/0.png", "gt2/1.png", "lq/0.png"):
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "here" / name), np.full((8, 8, 3), len(name), np.uint8))
    file = tmp_path / "mine.yaml"
    file.write_text(FOLDERS)
    found = bench("check", str(file), "--quick")
    assert found.exit_code == 2, found.output
    gone, odd, skipped, counted = found.stderr.splitlines()
    assert gone.startswith(
        f"warning: {file}:7:32 · blocks.0.dataset · data set gone: {tmp_path}/nowhere: gt: there is no"
    )
    assert odd.startswith(f"{file}:8:32 · blocks.1.dataset · data set odd: 1 file does not fit, so nothing is prepared")
    assert "gt/1.png: no lq file belongs to it" in odd
    assert skipped.startswith(f"{file}:9:32 · blocks.2.dataset · data set folder: ")
    assert "zz.png" in skipped
    assert counted == f"{file}: 2 mistakes"
    (tmp_path / "here/lq/1.png").write_bytes((tmp_path / "here/lq/0.png").read_bytes())
    file.write_text(FOLDERS.replace(", skip: [zz.png]", ""))
    sound = bench("check", str(file), "--quick")
    assert sound.exit_code == 0, sound.output
    says = "note: the degraded images of noisy are not used: gaussian_denoise makes its own from the clean ones"
    assert sound.stderr.splitlines()[1].startswith(says)
    assert [line for line in bench("plan", str(file)).stderr.splitlines() if line.startswith("note")] == [
        sound.stderr.splitlines()[1]
    ]


UNFIT = """
suite: mine
defaults:
  dataset: {name: folder, label: pairs, gt: here/gt, lq: here/lq}
  backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
  recipe: {steps: 2, batch: 2, patch: 32, losses: [charbonnier]}
blocks:
  - {task: low_light, test: [{name: folder, label: unp, gt: here/gt, lq: here/lq, pair: none}]}
  - {task: low_light, dataset: {name: folder, label: unp, gt: here/gt, lq: here/lq, pair: none}, test: [photos]}
  - task: low_light
    recipe: {patch: whole, augment: dihedral}
  - task: low_light
    recipe: {patch: whole, augment: flips}
  - task: gaussian_denoise
    dataset: {name: folder, label: unp, gt: here/gt, lq: here/lq, pair: none}
"""


def test_images_that_no_recipe_or_metric_can_use_are_named(tmp_path: Path) -> None:
    for number in range(20):
        for side in ("gt", "lq"):
            (tmp_path / "here" / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "here" / side / f"{number}.png"), np.full((32, 48, 3), number, np.uint8))
    file = tmp_path / "mine.yaml"
    file.write_text(UNFIT)
    found = bench("check", str(file))
    assert found.exit_code == 2, found.output
    assert [line.split(" · ")[1:3] for line in found.stderr.splitlines()[:-1]] == [
        ["defaults.recipe.losses", "the loss charbonnier reads pairs, and the images of unp are unpaired"],
        ["blocks.0.test", "the test images of unp are unpaired, so that none can be scored"],
        [
            "blocks.2.recipe.augment",
            "a quarter turn makes 48×32 of whole images of 32×48: no batches of 2",
        ],
    ]
