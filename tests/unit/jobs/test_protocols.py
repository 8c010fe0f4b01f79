"""From a suite file with two protocols to the columns of its table, through real jobs in this process."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.core.paths import Layout, write_text
from harness.jobs.run import do_job, run_job_file
from harness.parts.plugins import open_suite
from harness.planning.plan import Plan, make_plan
from harness.reports.leaderboard import leaderboard
from harness.reports.text import entry, header
from harness.results.frames import open_results

TASKS = '''
from harness.api.task import EvaluationProtocol, TaskTraits

class Wide:
    """Denoising, scored without borders that are larger than the images."""

    traits = TaskTraits(degradation="gaussian_noise", protocol=EvaluationProtocol("wide", 1, border=400))

CATALOGUE = (("task", "wide", "Wide"),)
'''

SUITE = """
suite: two
metrics: [psnr, ssim]
{protocols}
run: {{samples: 0}}
defaults:
  dataset: photos
  recipe: {{steps: 1, batch: 1, patch: 128}}
blocks:
  - task: gaussian_denoise
    backbone: {{name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}
"""


def ran(folder: Path, protocols: str) -> tuple[Layout, Plan]:
    """Runs a suite into a folder, job after job."""
    file = folder / "two.yaml"
    file.write_text(SUITE.format(protocols=protocols))
    suite, registry = open_suite(str(file), ())
    layout = Layout(folder / "out", folder / "out" / "data")
    write_text(layout.suite(suite.name), suite.model_dump_json())
    plan = make_plan(suite, layout, registry)
    torch.set_num_threads(1)
    for job in plan.to_run:
        do_job(job.job, layout)
    return layout, plan


def test_two_protocols_are_two_columns_and_a_third_one_is_only_scored(tmp_path: Path) -> None:
    layout, _ = ran(tmp_path, "protocols: [rgb_uint8, noise_seed0]")
    (section,) = leaderboard(layout).sections
    assert header(leaderboard(layout), section)[3:] == [
        "photos PSNR (dB) ↑ [rgb_uint8]",
        "photos SSIM ↑ [rgb_uint8]",
        "photos PSNR (dB) ↑ [noise_seed0]",
        "photos SSIM ↑ [noise_seed0]",
    ]
    assert [row.variant for row in section.rows] == ["input", "base"]
    for row in section.rows:
        own, field = (row.entries[column] for column in section.columns if column.metric == "psnr")
        assert (own.images, field.images) == (3, 3)
        assert own.score.mean != field.score.mean
        assert abs(own.score.mean - field.score.mean) < 0.5  # other noise of the same strength
    before = open_results(layout.out, layout.data).images()

    _, plan = ran(tmp_path, "protocols: [rgb_uint8, noise_seed0, rgb_uint8_ssim3d]")
    assert [job.job.kind for job in plan.to_run] == ["evaluate", "evaluate"]
    after = open_results(layout.out, layout.data).images()
    assert after["protocol"].n_unique() == 3
    assert after.filter(protocol="rgb_uint8/v1").equals(before.filter(protocol="rgb_uint8/v1"))


def test_an_impossible_protocol_is_a_gap_and_costs_no_other_one(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS)
    layout = Layout(tmp_path / "out", tmp_path / "out" / "data")

    def ran_noted(protocols: str) -> tuple[dict[str, str], list[str], list[str | None]]:
        """What the input's PSNR reads under each protocol, why it is missing, and the failures of the jobs."""
        file = tmp_path / "two.yaml"
        file.write_text(SUITE.format(protocols=f"plugins: [tasks.py]\nprotocols: {protocols}"))
        suite, registry = open_suite(str(file), ())
        write_text(layout.suite(suite.name), suite.model_dump_json())
        outcomes: list[str | None] = []
        for planned in make_plan(suite, layout, registry).to_run:
            path = layout.job_file(planned.id)
            write_text(path, planned.job.model_dump_json())
            outcomes.append(run_job_file(str(path)).failure)
        (section,) = leaderboard(layout).sections
        found = {each.protocol: own for each, own in section.rows[0].entries.items() if each.metric == "psnr"}
        shown = {label: entry(own, 1) for label, own in found.items()}
        return shown, [own.reason for own in found.values()], outcomes

    shown, reasons, outcomes = ran_noted("[rgb_float, wide]")
    assert outcomes.count("data") == 2
    assert set(outcomes) == {None, "data"}
    assert (shown["rgb_float/v1"][:2], shown["wide/v1"]) == ("20", "— failed (data)")
    why = "image chelsea of photos under wide/v1: protocol wide cuts 400 pixels per side, the image has 451×300"
    assert reasons == ["", f"failed (data): {why}"]
    again, reasons, outcomes = ran_noted("[rgb_float]")
    assert (again, reasons, outcomes) == ({"rgb_float/v1": shown["rgb_float/v1"]}, [""], [])
