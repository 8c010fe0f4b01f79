"""Metrics of one restored image under the task's protocol: one number per image. harness.reports averages them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from harness.api.metric import Metric
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.core.registry import Registry
from harness.parts.guard import called, check_value, made

GRAY, RGB = 1, 3
"""Channels of the images that metrics are of."""


def build_metrics(
    metrics: Mapping[str, PartRef], protocol: EvaluationProtocol, registry: Registry
) -> dict[str, Metric]:
    """The metrics of a suite under a protocol, by the keys that records use.

    Raises MissingWeights when the files of one are missing, UnknownName when a metric does not exist.
    """
    return {key: made(registry, "metric", metric.name, protocol, **metric.arguments) for key, metric in metrics.items()}


def apply_protocol(image_HWC: np.ndarray, protocol: EvaluationProtocol) -> np.ndarray:
    """A float image with white at 1 as the protocol sees it: H×W×3 float64 in [0, 255], cut, clipped and rounded.

    A gray image, H×W×1, has its channel three times, as metrics read RGB: its PSNR and SSIM are those of one channel.

    No other place cuts, clips or rounds. Rounding to 8 bits makes metrics of arrays equal metrics of saved PNGs.
    Raises DataError when the image is no larger than its border, or has neither one channel nor three.
    """
    cut = protocol.border
    height, width = image_HWC.shape[:2]
    if min(height, width) <= 2 * cut:
        raise DataError(f"protocol {protocol.name} cuts {cut} pixels per side, the image has {width}×{height}")
    if image_HWC.shape[2] not in (GRAY, RGB):
        raise DataError(f"it has {image_HWC.shape[2]} channels, and metrics read gray or RGB images")
    inner = image_HWC[cut : height - cut, cut : width - cut].astype(np.float64)
    values = np.clip(inner, 0.0, 1.0) * 255.0
    values = np.rint(values) if protocol.rounding == "uint8" else values
    return np.repeat(values, RGB, axis=2) if values.shape[2] == GRAY else values


FAILURES = (Exception, SystemExit, GeneratorExit)
"""What ends one metric of one test set: anything that a part may raise. Ctrl-C alone is the user's."""


class Scores(NamedTuple):
    """What metrics say of one image under one protocol, by key."""

    values: dict[str, float]
    left_out: dict[str, str]
    """Why metrics have no value for this image."""
    broken: Mapping[str, BaseException] = MappingProxyType({})
    """What metrics raised that is no DataError."""


def score(
    restored_HWC: np.ndarray, truth_HWC: np.ndarray, metrics: Mapping[str, Metric], protocol: EvaluationProtocol
) -> Scores:
    """The value of each metric for one image. PSNR of identical images is inf.

    A metric has none when the image is no larger than the protocol's border, when it raises, or when it gives NaN or
    no number. Every metric gets copies, and so cannot alter what the next one sees. Raises DataError when the sizes
    differ, or (kind `nan`) when the restored image has values that are not finite: clipping would turn an infinite
    pixel into an ordinary white one.
    """
    if restored_HWC.shape != truth_HWC.shape:
        raise DataError(f"the restored image is {restored_HWC.shape}, the ground truth {truth_HWC.shape}")
    if not np.isfinite(restored_HWC).all():
        raise DataError("the restored image has values that are not finite", kind="nan")
    try:
        restored, truth = apply_protocol(restored_HWC, protocol), apply_protocol(truth_HWC, protocol)
    except DataError as error:
        return Scores({}, dict.fromkeys(metrics, error.what))
    values: dict[str, float] = {}
    left_out: dict[str, str] = {}
    broken: dict[str, BaseException] = {}
    for key, metric in metrics.items():
        try:
            with called(metric):
                given = metric(restored.copy(), truth.copy())
            value = check_value(metric, given)
        except DataError as error:
            left_out[key] = f"{key}: {error.what}"
            continue
        except FAILURES as error:
            broken[key] = error
            continue
        if math.isnan(value):
            left_out[key] = f"{key}: its value is not a number"
        else:
            values[key] = value
    return Scores(values, left_out, broken)
