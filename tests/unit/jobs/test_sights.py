"""One pass over a test set: an image is restored once for all protocols under which a network gets the same of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from harness.api.metric import MetricTraits
from harness.api.protocols import LOL_GTMEAN, RGB_FLOAT, RGB_UINT8, RGB_UINT8_SCENES
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet, Samples
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.core.registry import Entry, Registry
from harness.data.samples import open_samples
from harness.data.shards import to_float
from harness.evaluation.prepared import prepare
from harness.evaluation.score import build_metrics, score
from harness.jobs import evaluate, train
from harness.jobs.inputs import Inputs, not_pairs, scorable
from harness.jobs.scoring import Evaluation, Scored, Scoring
from harness.parts.catalogue import BUILT_IN
from tests.small_world import RECIPE, SmallWorld, refined_cell, small_cell
from tests.small_world import prepare as prepare_world
from tests.stored_set import picture, store

READ = EvaluationProtocol("read", 1, read=(24, 32))
THROUGH = EvaluationProtocol("through", 1, through=(16, 48))
BOTH = EvaluationProtocol("both", 1, read=(24, 32), through=(16, 48))
TEST = PreparedSet(dataset=PartRef(name="arrays"), split="test")


class Blackness:
    """How dark an image is: a metric without reference."""

    traits = MetricTraits(higher_is_better=False, reference="none")

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray) -> float:
        return 255 - float(restored.mean())


class Spoiler:
    """Writes into what it gets, even through a tensor, which does not know of arrays that are read only."""

    traits = MetricTraits(higher_is_better=True)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        import torch

        torch.from_numpy(restored).zero_()
        truth[:] = 255
        return 1.0


class Masked:
    """The part of the image that counts."""

    traits = MetricTraits(higher_is_better=True, masked=True)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask_HW: np.ndarray | None = None) -> float:
        return 2.0 if mask_HW is None else float(mask_HW.mean())


NAMES = ("Blackness", "Spoiler", "Masked")
REGISTRY = Registry(BUILT_IN).extended(
    [Entry("metric", name.lower(), f"{Path(__file__).resolve()}:{name}") for name in NAMES]
)


def opened(folder: Path, *, clean: bool = True, number: int = 2) -> Inputs:
    samples = [
        {"key": f"k{n}", "scene": f"s{n}", "lq": picture(n, 20 + n, 30)}
        | ({"gt": picture(9 + n, 20 + n, 30)} if clean else {})
        for n in range(number)
    ]
    store(TEST, samples, folder)
    named = Samples(stored=TEST)
    return Inputs(named, open_samples(named, REGISTRY, folder))


def ran(
    inputs: Inputs, protocols: tuple[EvaluationProtocol, ...], metrics: tuple[str, ...], **changes: Any
) -> tuple[dict[str, Scored], list[tuple[Any, ...]], list[tuple[np.ndarray, ...]]]:
    """What was scored by protocol; what the network got; the strips."""
    seen: list[tuple[Any, ...]] = []
    strips: list[tuple[np.ndarray, ...]] = []

    def restore(lq: np.ndarray, prior: Any, truth: Any, through: Any) -> np.ndarray:
        seen.append((lq.shape[:2], through))
        return np.float32(1) - lq

    parts = {name: PartRef(name=name) for name in metrics}
    evaluations = [Evaluation(protocol.name, protocol, parts, None) for protocol in protocols]
    scoring = Scoring.begin(small_cell(), inputs, evaluations, changes.get("restore", restore), REGISTRY, "arrays")
    return scoring.score(strips=1, write=lambda name, images: strips.append(images)), seen, strips


def values(found: Scored, metric: str) -> list[float]:
    return [row.value for row in found.rows if row.metric == metric]


def test_an_image_is_restored_once_for_all_that_see_the_same(tmp_path: Path) -> None:
    inputs = opened(tmp_path)
    protocols = (RGB_UINT8, READ, LOL_GTMEAN, THROUGH, RGB_FLOAT, BOTH, RGB_UINT8_SCENES)
    found, seen, _ = ran(inputs, protocols, ("psnr",))
    first, second = [(20, 30), (21, 30)]
    each = [(None,), (None,), ((16, 48),), ((16, 48),)]
    sizes = [(first, (24, 32), first, (24, 32)), (second, (24, 32), second, (24, 32))]
    expected = [(size, *through) for image in sizes for size, through in zip(image, each, strict=True)]
    assert seen == expected
    assert list(found) == [protocol.name for protocol in protocols], "the order of the evaluations stays"
    assert all(len(scored.rows) == 2 for scored in found.values())


def test_columns_are_those_of_each_protocol_alone(tmp_path: Path) -> None:
    """Against one pass for every protocol, and against images that are resized and scored by hand."""
    inputs = opened(tmp_path)
    protocols = (RGB_UINT8, READ, LOL_GTMEAN, RGB_FLOAT, RGB_UINT8_SCENES)
    found, _, _ = ran(inputs, protocols, ("psnr", "ssim", "blackness"))
    for protocol in protocols:
        alone, _, _ = ran(inputs, (protocol,), ("psnr", "ssim", "blackness"))
        assert alone[protocol.name] == found[protocol.name]
    pair = inputs.opened.pair(1)
    assert pair.gt is not None
    lq, gt = (cv2.resize(image, (32, 24)).astype(np.float32) / np.float32(255) for image in (pair.lq, pair.gt))
    metrics = build_metrics({"psnr": PartRef(name="psnr")}, READ, REGISTRY)
    by_hand = score(np.float32(1) - lq, gt, metrics, READ).values["psnr"]
    assert values(found["read"], "psnr")[1] == by_hand


def test_protocols_that_differ_in_name_and_mean_alone_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str] = []
    plain = prepare

    def counted(*given: Any) -> Any:
        prepared.append(given[-1].name)
        return plain(*given)

    monkeypatch.setattr("harness.evaluation.score.prepare", counted)
    found, _, _ = ran(opened(tmp_path, number=1), (RGB_UINT8, RGB_FLOAT, RGB_UINT8_SCENES), ("psnr",))
    assert sorted(prepared) == ["rgb_float", "rgb_uint8"]
    assert values(found["rgb_uint8"], "psnr") == values(found["rgb_uint8_scenes"], "psnr")


def test_a_metric_cannot_alter_what_the_next_one_sees(tmp_path: Path) -> None:
    inputs = opened(tmp_path)
    protocols = (RGB_UINT8, EvaluationProtocol("cut", 1, border=2))
    spoilt, _, _ = ran(inputs, protocols, ("spoiler", "psnr", "blackness"))
    clean, _, _ = ran(inputs, protocols, ("psnr", "blackness"))
    for protocol in protocols:
        for metric in ("psnr", "blackness"):
            assert values(spoilt[protocol.name], metric) == values(clean[protocol.name], metric)


def test_a_set_without_clean_images_is_scored_without_reference_alone(tmp_path: Path) -> None:
    inputs = opened(tmp_path, clean=False)
    found, _, strips = ran(inputs, (RGB_UINT8, LOL_GTMEAN), ("psnr", "blackness"))
    expected = [float(to_float(inputs.opened.pair(row).lq).mean() * 255) for row in range(2)]
    assert values(found["rgb_uint8"], "blackness") == pytest.approx(expected, abs=1e-3)
    assert {row.metric for row in found["rgb_uint8"].rows} == {"blackness"}
    assert found["rgb_uint8"].without == {"psnr": "the test set has no clean images"}
    assert found["lol_gtmean"].rows == []
    assert set(found["lol_gtmean"].without) == {"psnr", "blackness"}
    assert all(scored.left_out == {} for scored in found.values()), "nothing failed"
    assert [len(images) for images in strips] == [2], "input and restored"
    assert scorable(inputs.opened).tolist() == [0, 1]
    assert not_pairs(inputs.opened, "arrays") == (
        "arrays: it has no clean images, and is scored by metrics without reference alone",
    )


def test_metrics_without_reference_say_nothing_where_the_truth_changes_the_image(tmp_path: Path) -> None:
    found, _, _ = ran(opened(tmp_path), (RGB_UINT8, LOL_GTMEAN), ("psnr", "blackness"))
    assert {row.metric for row in found["rgb_uint8"].rows} == {"psnr", "blackness"}
    assert {row.metric for row in found["lol_gtmean"].rows} == {"psnr"}
    assert found["lol_gtmean"].without == {"blackness": "the protocol lol_gtmean compares with clean images"}


def test_masks_reach_the_metrics_that_take_one_and_nobody_else(tmp_path: Path) -> None:
    aligned = EvaluationProtocol("aligned", 1, align="ecc")
    smooth = cv2.GaussianBlur(picture(3, 60, 80), (0, 0), 2)
    moved = np.roll(smooth, 2, axis=1)
    store(TEST, [{"key": "k", "scene": "s", "lq": 255 - moved, "gt": smooth}], tmp_path)
    named = Samples(stored=TEST)
    inputs = Inputs(named, open_samples(named, REGISTRY, tmp_path))
    found, _, _ = ran(inputs, (RGB_UINT8, aligned), ("masked", "psnr", "blackness"))
    assert values(found["rgb_uint8"], "masked") == [2.0]
    (share,) = values(found["aligned"], "masked")
    assert 0.9 < share < 1
    assert values(found["aligned"], "psnr")[0] > values(found["rgb_uint8"], "psnr")[0] + 3
    assert set(found["aligned"].without) == {"blackness"}


def test_an_image_that_cannot_be_aligned_is_the_reason(tmp_path: Path) -> None:
    aligned = EvaluationProtocol("aligned", 1, align="ecc")
    found, _, _ = ran(
        opened(tmp_path), (RGB_UINT8, aligned), ("psnr",), restore=lambda lq, prior, truth, through: 0 * lq
    )
    assert len(found["rgb_uint8"].rows) == 2
    assert found["aligned"].left_out["psnr"].why == (
        "image k0 of arrays under aligned/v1: the restored image is black, and cannot be aligned"
    )
    assert found["aligned"].left_out["psnr"].lasting


def test_pixels_that_are_not_finite_are_named_with_their_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not finite") as caught:
        ran(opened(tmp_path), (READ,), ("psnr",), restore=lambda lq, prior, truth, through: lq + np.float32(np.inf))
    assert (caught.value.kind, caught.value.where) == ("nan", "image k0 of arrays")


def test_a_table_says_where_a_prior_saw_another_image_than_the_network(world: SmallWorld) -> None:
    """Under `read` and `through` the network gets the image at another size; the cached vector is of the stored one."""
    recipe = RECIPE.model_copy(update={"steps": 1, "batch": 1})
    cell = refined_cell(PartRef(name="nss")).model_copy(update={"recipe": recipe})
    prepare_world(world, cell)
    train.run(world.train_job(cell), world.context)
    evaluate.run(world.evaluate_job(cell, metrics=("psnr",), protocols=(RGB_UINT8, READ, THROUGH)), world.context)
    said = {each.protocol: each.warnings for each in world.record(cell).evaluations}
    told = "photos: under {} the prior saw the images as they are stored, the network at {}"
    assert {name: [text for text in texts if "prior saw" in text] for name, texts in said.items()} == {
        "rgb_uint8/v1": [],
        "read/v1": [told.format("read", "32×24")],
        "through/v1": [told.format("through", "48×16")],
    }
