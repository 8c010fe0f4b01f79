"""Metrics of one restored image under the task's protocol: one number per image. harness.reports averages them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from harness.api.metric import Metric
from harness.api.reference import PartRef
from harness.api.task import EvaluationProtocol
from harness.core.beat import beat
from harness.core.errors import DataError
from harness.core.guests import FAILURES, is_guest
from harness.core.registry import Registry
from harness.evaluation.busy import at_work
from harness.evaluation.prepared import Prepared, prepare
from harness.parts.guard import called, check_value, made
from harness.parts.shared.iqa_images import NetworkMetric

CPU = torch.device("cpu")


def build_metrics(
    metrics: Mapping[str, PartRef],
    protocol: EvaluationProtocol,
    registry: Registry,
    device: torch.device = CPU,
) -> dict[str, Metric]:
    """The metrics of a suite under a protocol, by the keys that records use; those that are networks on the device.

    Raises MissingWeights when the files of one are missing, UnknownName when a metric does not exist.
    """
    found: dict[str, Metric] = {}
    for key, part in metrics.items():
        metric = made(registry, "metric", part.name, protocol, **part.arguments)
        if device.type != "cpu" and isinstance(metric, NetworkMetric) and not is_guest(type(metric)):
            metric.to(device)
        found[key] = metric
    return found


def goes_beside(metric: Metric) -> bool:
    """Whether threads may compute a metric beside the restoration, several images at once.

    Those of the harness that say so (`in_threads`): they neither read nor set anything that the process has one of.
    Those of users never: what they set is put back, and what they draw is looked after, in the main thread, by a look
    at the whole process before and after each call, which no other thread's work may blur.
    """
    return getattr(type(metric), "in_threads", False) is True and not is_guest(type(metric))


class Scores(NamedTuple):
    """What metrics say of one image under one protocol, by key."""

    values: dict[str, float]
    left_out: dict[str, str]
    """Why metrics have no value for this image."""
    broken: Mapping[str, BaseException] = MappingProxyType({})
    """What metrics raised that is no DataError."""


class Shared:
    """One restored image and its clean one, scored under several protocols: what they have in common is done once.

    Protocols share the images that metrics read where these are the same, and the values of metrics where the protocols
    differ in nothing but what they are called, how test images are drawn and what is averaged.
    """

    def __init__(self, restored_HWC: np.ndarray, truth_HWC: np.ndarray | None) -> None:
        """Raises DataError when the sizes differ, or (kind `nan`) when the restored image has values that are not
        finite: clipping would turn an infinite pixel into an ordinary white one."""
        if truth_HWC is not None and restored_HWC.shape != truth_HWC.shape:
            raise DataError(f"the restored image is {restored_HWC.shape}, the ground truth {truth_HWC.shape}")
        if not np.isfinite(restored_HWC).all():
            raise DataError("the restored image has values that are not finite", kind="nan")
        self._images = restored_HWC, truth_HWC
        self._last: tuple[Any, Prepared | DataError] | None = None
        self._values: dict[Any, float | BaseException] = {}

    def prepared(self, protocol: EvaluationProtocol) -> Prepared:
        """The images as a protocol sees them. Only the last ones are kept: large images are large. Raises as
        `prepare`."""
        key = content_of(protocol)
        if self._last is None or self._last[0] != key:
            try:
                self._last = key, prepare(*self._images, protocol)
            except DataError as error:
                self._last = key, error
        found = self._last[1]
        if isinstance(found, DataError):
            raise found
        return found

    def value(self, key: str, metric: Metric, protocol: EvaluationProtocol) -> float:
        """The value of a metric, which is called `key` in all protocols. Raises what the metric raises."""
        name = key, type(metric), _reading(protocol)
        if name not in self._values:
            beat()
            try:
                self._values[name] = _value(metric, self.prepared(protocol))
            except FAILURES as error:
                self._values[name] = error
        found = self._values[name]
        if isinstance(found, BaseException):
            raise found
        return found


def content_of(protocol: EvaluationProtocol) -> tuple[str, int, str, bool]:
    """What decides which images metrics read: under protocols that agree in it they are the same."""
    return protocol.rounding, protocol.border, protocol.align, protocol.gt_mean


def _reading(protocol: EvaluationProtocol) -> EvaluationProtocol:
    """What metrics can read of a protocol that changes their values."""
    return replace(protocol, name="any", version=1, draw="named", mean="image", read=None, through=None)


def _value(metric: Metric, images: Prepared) -> float:
    """The value of a metric. It gets copies, and so cannot alter what the next one sees."""
    given = [images.restored.copy()]
    traits = metric.traits
    if traits.reference == "full":
        if images.truth is None:
            raise DataError("it compares with clean images, and there is none")
        given.append(images.truth.copy())
    if traits.masked and images.mask_HW is not None:
        given.append(images.mask_HW.copy())
    device = metric.device if isinstance(metric, NetworkMetric) else CPU
    with nullcontext() if goes_beside(metric) else called(metric), at_work(device):
        value = metric(*given)
    return check_value(metric, value)


def score(
    restored_HWC: np.ndarray,
    truth_HWC: np.ndarray | None,
    metrics: Mapping[str, Metric],
    protocol: EvaluationProtocol,
) -> Scores:
    """The value of each metric for one image under one protocol: `score_shared`. Raises DataError as `Shared`."""
    return score_shared(Shared(restored_HWC, truth_HWC), metrics, protocol)


def score_shared(shared: Shared, metrics: Mapping[str, Metric], protocol: EvaluationProtocol) -> Scores:
    """The value of each metric for one image. PSNR of identical images is inf.

    A metric has none when the image is no larger than the protocol's border, when it raises, or when it gives NaN or
    no number; one with reference has none where there is no clean image. Metrics without reference are not asked under
    protocols that change the restored image by what the clean one is.
    """
    asked = {key: metric for key, metric in metrics.items() if protocol.measures(metric.traits.reference)}
    try:
        shared.prepared(protocol)
    except DataError as error:
        return Scores({}, dict.fromkeys(asked, error.what))
    values: dict[str, float] = {}
    left_out: dict[str, str] = {}
    broken: dict[str, BaseException] = {}
    for key, metric in asked.items():
        try:
            value = shared.value(key, metric, protocol)
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
