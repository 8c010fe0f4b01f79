"""Quality without a clean image by natural-scene statistics, through pyiqa."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.api.traits import Published
from harness.core.errors import DataError
from harness.parts.shared.iqa_images import as_batch
from harness.weights.files import ready_files

SMALLEST = 14
"""Pixels per side: at half the size a Gaussian window of 7×7 still fits."""
FLAT = 0.01
"""Range of values, of 255, below which an image counts as flat."""
STATISTICS = 36


class BRISQUE:
    """BRISQUE, Mittal, Moorthy and Bovik, TIP 2012: needs no clean image; lower is better, from about 0 to 100.

    The authors' support vectors, read from their own text file. Raises MissingWeights without it, DataError when it
    differs.
    """

    traits = MetricTraits(higher_is_better=False, decimals=2, reference="none", weights=(Published("brisque/svm"),))

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol
        (file,) = ready_files(self.traits, {}, "metric brisque")
        self._machine = read_machine(file)

    @torch.inference_mode()
    def __call__(self, restored: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a number. Raises DataError for images that are too small or flat."""
        from pyiqa.archs.brisque_arch import brisque  # here, as this import takes seconds

        height, width = restored.shape[:2]
        if min(height, width) < SMALLEST:
            raise DataError(f"BRISQUE needs at least {SMALLEST}×{SMALLEST} pixels, the image has {width}×{height}")
        flat = "BRISQUE has no value for a flat image"
        if float(np.ptp(restored)) < FLAT:
            raise DataError(flat)
        coefficients, vectors, gamma, rho = self._machine
        try:
            found = brisque(as_batch(restored), sv_coef=coefficients, sv=vectors, gamma=gamma, rho=rho)
        except AssertionError as error:  # so pyiqa tells of statistics that do not exist
            raise DataError(flat) from error
        value = float(found)
        if not math.isfinite(value):
            raise DataError(flat)
        return value


def read_machine(file: Path) -> tuple[Tensor, Tensor, float, float]:
    """A support-vector machine with an RBF kernel, from a model file of libsvm: coefficients N, vectors N×36, gamma
    and rho. Raises DataError (kind `weights`) for another file."""
    head, found, body = file.read_text(encoding="ascii", errors="replace").partition("\nSV\n")
    numbers = dict(line.split(" ", 1) for line in head.splitlines() if " " in line)
    try:
        gamma, rho, count = float(numbers["gamma"]), float(numbers["rho"]), int(numbers["total_sv"])
        rows = [line.split() for line in body.splitlines() if line.strip()]
        vectors = torch.zeros(len(rows), STATISTICS)
        for place, row in enumerate(rows):
            for index, value in (item.split(":") for item in row[1:]):
                vectors[place, int(index) - 1] = float(value)
        coefficients = torch.tensor([float(row[0]) for row in rows])
    except (KeyError, ValueError, IndexError) as error:
        raise DataError("it is no model file of libsvm", where=str(file), kind="weights") from error
    if not found or len(rows) != count:
        raise DataError(f"it has {len(rows)} support vectors, not {count}", where=str(file), kind="weights")
    return coefficients, vectors, gamma, rho
