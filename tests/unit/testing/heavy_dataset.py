"""A data set whose module imports torch."""

from __future__ import annotations

import torch

from harness.api.dataset import DatasetTraits
from tests.unit.testing import datasets


class Heavy(datasets.Good):
    traits = DatasetTraits()

    def __init__(self) -> None:
        super().__init__()
        self.threads = torch.get_num_threads()
