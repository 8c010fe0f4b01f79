"""A small world of plug-in parts, so that the suite language is tested apart from the built-in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from harness.cells.suite import ResolvedSuite
from harness.core.errors import Problem, SpecErrors
from harness.core.registry import Registry
from harness.parts.plugins import extend
from harness.spec.expand import expand
from harness.spec.parse import load_suite

PARTS = '''
"""Parts that name things and do nothing."""
from typing import Annotated, Literal

from annotated_types import Le

from harness.api.backbone import BackboneTraits
from harness.api.dataset import DatasetTraits
from harness.api.degradation import DegradationTraits
from harness.api.loss import LossTraits
from harness.api.metric import MetricTraits
from harness.api.prior import PriorTraits
from harness.api.reference import CellRef, PriorRef
from harness.api.refiner import RefinerTraits
from harness.api.task import EvaluationProtocol, TaskTraits


class Noise:
    """Degradation."""

    traits = DegradationTraits(version=3, quantised=False)

    def __init__(self, *, sigma: Annotated[float, Le(100)] = 25, clip: bool = False) -> None: ...


class Denoise:
    """Remove noise."""

    traits = TaskTraits(version=3, degradation="noise", options=("sigma",), protocol=EvaluationProtocol("rgb", 1))


class Derain:
    """Remove rain."""

    traits = TaskTraits(version=3, degradation="noise", settings={"sigma": 1.0}, protocol="rgb_uint8")


class Pictures:
    """Data set with both splits."""

    traits = DatasetTraits(version=3)

    def __init__(self, *, size: int = 4) -> None:
        self.size = size

    def splits(self): return ("train", "test")
    def fingerprint(self): return f"pictures-{self.size}"


class TestOnly:
    """Data set without a train split."""

    traits = DatasetTraits(version=3)

    def splits(self): return ("test",)
    def fingerprint(self): return "test-only"


class TrainOnly:
    """Data set without a test split."""

    traits = DatasetTraits(version=3)

    def splits(self): return ("train",)
    def fingerprint(self): return "train-only"


class Net:
    """Backbone."""

    traits = BackboneTraits(version=3, taps=True)

    def __init__(self, *, width: int = 16, blocks: tuple[int, ...] = (1, 2), act: Literal["relu", "gelu"] = "relu",
                 bias: bool = True, scale: float | None = None) -> None: ...


class Other:
    """Another backbone."""

    traits = BackboneTraits(version=3, taps=True)


class Refine:
    """Refiner."""

    traits = RefinerTraits(version=3, placements=("image", "features"))

    def __init__(self, prior_dim: int, *, head: Literal["mask", "residual"] = "mask") -> None: ...


class Plain:
    """Prior."""

    traits = PriorTraits(version=3)

    def __init__(self, *, dim: int = 8, seed: int = 0) -> None: ...


class Shuffled:
    """Prior of a prior."""

    traits = PriorTraits(version=3, derived=True)

    def __init__(self, *, of: PriorRef) -> None: ...


class Learned:
    """Prior that needs a cell."""

    traits = PriorTraits(version=3)

    def __init__(self, network, *, source: CellRef, tap: str = "last") -> None: ...


class L1:
    """Loss."""

    traits = LossTraits(version=3)

    def __init__(self, *, eps: float = 1e-3) -> None: ...


class Score:
    """Metric."""

    traits = MetricTraits(version=3, higher_is_better=True)


CATALOGUE = (
    ("degradation", "noise", "Noise"),
    ("task", "denoise", "Denoise"),
    ("task", "rainy", "Derain"),
    ("dataset", "pictures", "Pictures"),
    ("dataset", "test_only", "TestOnly"),
    ("dataset", "train_only", "TrainOnly"),
    ("backbone", "net", "Net"),
    ("backbone", "other", "Other"),
    ("refiner", "refine", "Refine"),
    ("prior", "plain", "Plain"),
    ("prior", "mixed", "Shuffled"),
    ("prior", "learned", "Learned"),
    ("loss", "charbonnier", "L1"),
    ("loss", "l1", "L1"),
    ("metric", "psnr", "Score"),
    ("metric", "ssim", "Score"),
)
'''

BASE = """
suite: world
defaults: {dataset: pictures, task: denoise, backbone: net}
"""


class World:
    """A folder with a registry of plug-in parts; suites are written and expanded in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plugin = folder / "parts.py"
        plugin.write_text(PARTS)
        self.registry: Registry = extend(Registry([]), [str(plugin)])

    def write(self, text: str, name: str = "suite.yaml") -> Path:
        path = self.folder / name
        path.write_text(dedent(text).lstrip("\n"))
        return path

    def expand(self, text: str, *overrides: str) -> ResolvedSuite:
        return expand(load_suite(str(self.write(text)), overrides), self.registry)

    def blocks(self, text: str, *overrides: str) -> ResolvedSuite:
        """Expands blocks below defaults that name a task, a data set and a backbone."""
        return self.expand(BASE + "blocks:\n" + dedent(text), *overrides)

    def problems(self, text: str, *overrides: str) -> list[Problem]:
        with pytest.raises(SpecErrors) as caught:
            self.expand(text, *overrides)
        return list(caught.value.problems)

    def block_problems(self, text: str, *overrides: str) -> list[Problem]:
        return self.problems(BASE + "blocks:\n" + dedent(text), *overrides)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def trained() -> Callable[[ResolvedSuite], list]:
    """The listed cells that are trained."""
    return lambda suite: [entry for entry in suite.cells if entry.listed and entry.cell.backbone]
