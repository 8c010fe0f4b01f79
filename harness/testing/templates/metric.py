"""The metric `my_part`: say here what it measures."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol


class MyPart:
    """Mean absolute error on the scale of 0 to 255. (This line is shown by `bench list metrics`.)

    Option `border`: pixels of every side that are not counted.
    """

    # Tables use these to show the direction and to print. Raise `version` whenever the numbers change.
    traits = MetricTraits(higher_is_better=False, unit="", decimals=3)

    def __init__(self, protocol: EvaluationProtocol, *, border: Annotated[int, Ge(0), Le(64)] = 0) -> None:
        # The harness gives the protocol of the task; options of suites come after the *.
        self.protocol = protocol
        self.border = border

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255], as the protocol left them, to one number per image."""
        height, width = truth.shape[:2]
        inner = np.s_[self.border : height - self.border, self.border : width - self.border]
        return float(np.abs(restored[inner] - truth[inner]).mean())


CATALOGUE = (("metric", "my_part", "MyPart"),)
