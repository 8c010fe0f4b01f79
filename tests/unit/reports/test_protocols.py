"""Several protocols in one table: a column each, told apart in titles, averaged as each says."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.api.protocols import RGB_UINT8, RGB_UINT8_SCENES, RGB_UINT8_SSIM3D
from harness.api.task import EvaluationProtocol
from harness.cells.cell import evaluation_id
from harness.cells.suite import ResolvedSuite
from harness.core.identity import digest
from harness.records import store
from harness.records.model import Failure
from harness.reports.formats import comma_separated, markdown
from harness.reports.leaderboard import board_of
from harness.reports.text import header, title
from harness.results.frames import Results
from tests.unit.records.made import cell, degraded, finish, listed, photos, refined, suite, values

SCENES = {"a": "one", "b": "one", "c": "two"}
BOTH = (RGB_UINT8, RGB_UINT8_SCENES)


def lines(board):
    return {row["variant"]: row for row in csv.DictReader(io.StringIO(comma_separated.write(board)))}


def test_two_protocols_are_two_columns(layout):
    asked = (RGB_UINT8, RGB_UINT8_SSIM3D)
    for content in (degraded(), cell()):
        finish(layout, content, values([20.0, 22.0], [0.5, 0.7]), protocols=asked)
    board = board_of([suite(listed(degraded()), listed(cell()), protocols=asked)], layout)
    (section,) = board.sections
    assert [(column.protocol, column.metric) for column in section.columns] == [
        ("rgb_uint8/v1", "psnr"),
        ("rgb_uint8/v1", "ssim"),
        ("rgb_uint8_ssim3d/v1", "psnr"),
        ("rgb_uint8_ssim3d/v1", "ssim"),
    ]
    assert header(board, section)[3:] == [
        "photos PSNR (dB) ↑ [rgb_uint8]",
        "photos SSIM ↑ [rgb_uint8]",
        "photos PSNR (dB) ↑ [rgb_uint8_ssim3d]",
        "photos SSIM ↑ [rgb_uint8_ssim3d]",
    ]
    assert title(board, section) == "low_light · rgb_uint8/v1, rgb_uint8_ssim3d/v1"
    assert "| base | 0 | 21.00 | 0.6000 | 21.00 | 0.6000 |" in markdown.write(board)
    assert lines(board)["base"]["photos.ssim@rgb_uint8_ssim3d/v1.mean"] == "0.600000"


def test_one_protocol_stands_in_no_title(layout):
    finish(layout, cell(), values([20.0]), protocols=[RGB_UINT8_SSIM3D])
    board = board_of([suite(listed(cell()), metrics=["psnr"], protocols=[RGB_UINT8_SSIM3D])], layout)
    assert header(board, board.sections[0])[3:] == ["photos PSNR (dB) ↑"]


def test_two_versions_of_a_protocol_are_told_apart(layout):
    versions = [EvaluationProtocol("mine", 1), EvaluationProtocol("mine", 2, border=4)]
    finish(layout, cell(), values([20.0]), protocols=versions)
    board = board_of([suite(listed(cell()), metrics=["psnr"], protocols=versions)], layout)
    assert header(board, board.sections[0])[3:] == ["photos PSNR (dB) ↑ [mine/v1]", "photos PSNR (dB) ↑ [mine/v2]"]


NARROW, WIDE = EvaluationProtocol("mine", 1, border=4), EvaluationProtocol("mine", 1, border=100)


def differ(layout, content, under, by):
    """Adds a number to the values on record of one protocol."""
    name = evaluation_id(content, content.test_set(photos()).samples(under.draw), under)
    table = store.load_images(layout, content.id).to_pylist()
    rows = [store.ImageRow(**row) for row in table]
    rows = [row._replace(value=row.value + by * (row.evaluation == name)) for row in rows]
    sha256 = store.save_images(layout, content.id, rows)
    store.save(layout, store.load(layout, content.id).model_copy(update={"images_sha256": sha256}))


def test_two_protocols_of_one_name_and_version_are_two_columns(layout):
    """As two suites leave them whose plug-ins each define a `mine` of version 1; here with one seed in common."""
    for seed in (0, 1):
        finish(layout, cell(seed), values([20.0 + seed]), protocols=[NARROW, WIDE])
        differ(layout, cell(seed), WIDE, 10.0)
    one = suite(listed(cell(0)), listed(cell(1)), metrics=["psnr"], protocols=[NARROW], name="one")
    other = suite(listed(cell(0)), metrics=["psnr"], protocols=[WIDE], name="other")
    digests = [digest(protocol.identity(), 8) for protocol in (NARROW, WIDE)]
    board = board_of([one, other], layout)
    (section,) = board.sections
    assert [column.protocol_digest for column in section.columns] == digests
    assert header(board, section)[3:] == [f"photos PSNR (dB) ↑ [mine/v1 {each[:4]}]" for each in digests]
    assert title(board, section) == "low_light · " + ", ".join(f"mine/v1 [{each[:4]}]" for each in digests)
    found = lines(board)["base"]
    means = [found[f"photos.psnr@mine/v1 [{each[:4]}].mean"] for each in digests]
    assert means == ["20.500000", "30.000000"]
    assert lines(board_of([other], layout))["base"]["photos.psnr@mine/v1.mean"] == "30.000000"
    assert Results([one, other], layout).images().filter(cell=cell(0).id)["value"].sort().to_list() == [20.0, 30.0]


def test_what_a_protocol_could_not_score_is_the_reason_of_its_columns_alone(layout):
    """The record of an attempt that scored all but one protocol, and then failed."""
    finish(layout, cell(), values([20.0]), protocols=[RGB_UINT8, WIDE])
    record, why = store.load(layout, cell().id), "image a of photos under mine/v1: protocol mine cuts 100 pixels"
    kept, lost = record.evaluations
    lost = lost.model_copy(update={"metrics": {}, "left_out": {"psnr": why}})
    rows = [store.ImageRow(**row) for row in store.load_images(layout, cell().id).to_pylist()]
    sha256 = store.save_images(layout, cell().id, [row for row in rows if row.evaluation == kept.id])
    failure = Failure(kind="data", message=f"not scored: {why}\n  try: something")
    changes = {"evaluations": (kept, lost), "images_sha256": sha256, "status": "failed", "failure": failure}
    store.save(layout, record.model_copy(update=changes))

    def reasons(*protocols):
        resolved = suite(listed(cell()), metrics=["psnr"], protocols=protocols)
        found = Results([resolved], layout)
        return dict(found.coverage().select("protocol", "reason").rows()), found.cells()["state"].to_list()

    told = f"failed (data): {why}"
    assert reasons(RGB_UINT8, WIDE) == ({"rgb_uint8/v1": None, "mine/v1": told}, ["failed"])
    assert reasons(RGB_UINT8) == ({"rgb_uint8/v1": None}, ["done"])
    assert reasons(RGB_UINT8, RGB_UINT8_SSIM3D)[0] == {"rgb_uint8/v1": None, "rgb_uint8_ssim3d/v1": "not evaluated yet"}
    nan = Failure(kind="nan", message="the restored image has values that are not finite")
    store.save(layout, store.load(layout, cell().id).model_copy(update={"failure": nan}))
    assert reasons(RGB_UINT8_SSIM3D)[0]["rgb_uint8_ssim3d/v1"].startswith("failed (nan)")


def test_a_protocol_that_is_not_on_record_is_a_gap_of_its_column(layout):
    finish(layout, cell(), values([20.0]))
    resolved = suite(listed(cell()), metrics=["psnr"], protocols=[RGB_UINT8, RGB_UINT8_SSIM3D])
    found = Results([resolved], layout).coverage()
    assert found.select("protocol", "images", "reason").rows() == [
        ("rgb_uint8/v1", 1, None),
        ("rgb_uint8_ssim3d/v1", 0, "not evaluated yet"),
    ]


def test_scenes_are_averaged_before_their_images_are_forgotten(layout):
    """Images a and b are of one scene, c of another: (20 + 30) / 2 and 40 give 32.5, the images alone 30."""
    finish(layout, cell(), values([20.0, 30.0, 40.0]), protocols=BOTH, scenes=SCENES)
    finish(layout, refined(), values([21.0, 32.0, 40.5]), protocols=BOTH, scenes=SCENES)
    board = board_of([suite(listed(cell()), listed(refined()), metrics=["psnr"], protocols=BOTH)], layout)
    found = lines(board)
    by_image, by_scene = (f"photos.psnr@{protocol.label}" for protocol in BOTH)
    assert found["base"][f"{by_image}.mean"] == "30.000000"
    assert found["base"][f"{by_scene}.mean"] == "32.500000"
    assert found["nss"][f"{by_scene}.mean"] == f"{(26.5 + 40.5) / 2:.6f}"
    assert found["nss"][f"{by_image}.delta"] == f"{(1 + 2 + 0.5) / 3:.6f}"
    assert found["nss"][f"{by_scene}.delta"] == f"{(1.5 + 0.5) / 2:.6f}"
    assert found["base"][f"{by_scene}.images"] == "3"


def test_a_scene_loses_its_infinite_images_alone(layout):
    content = values([20.0, float("inf"), 40.0])
    finish(layout, cell(), content, protocols=BOTH, scenes=SCENES)
    board = board_of([suite(listed(cell()), metrics=["psnr"], protocols=BOTH)], layout)
    assert lines(board)["base"][f"photos.psnr@{RGB_UINT8_SCENES.label}.mean"] == "30.000000"


def test_frames_hold_scenes_and_what_is_averaged(layout):
    finish(layout, cell(), values([20.0, 30.0, 40.0]), protocols=BOTH, scenes=SCENES)
    images = Results([suite(listed(cell()), metrics=["psnr"], protocols=BOTH)], layout).images()
    assert images.select("protocol", "image", "scene", "mean").rows() == [
        (protocol.label, image, SCENES[image], protocol.mean) for protocol in _by_id(images) for image in "abc"
    ]


def _by_id(images):
    """The protocols in the order of their rows, which is that of the ids of the evaluations."""
    labels = images["protocol"].unique(maintain_order=True)
    return [next(protocol for protocol in BOTH if protocol.label == label) for label in labels]


def test_a_stored_suite_without_protocols_means_the_tasks_own(layout):
    finish(layout, cell(), values([20.0]))
    resolved = suite(listed(cell()), metrics=["psnr"])
    older = json.loads(resolved.model_dump_json())
    del older["protocols"]
    read = ResolvedSuite.model_validate_json(json.dumps(older))
    assert read == resolved
    (section,) = board_of([read], layout).sections
    assert [column.protocol for column in section.columns] == ["rgb_uint8/v1"]


@pytest.mark.parametrize("protocols", [(), BOTH])
def test_a_suite_with_protocols_comes_back_as_it_was(protocols):
    resolved = suite(listed(cell()), protocols=protocols)
    assert ResolvedSuite.model_validate_json(resolved.model_dump_json()) == resolved
