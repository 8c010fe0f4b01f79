"""The contracts of degradations, tasks and metrics catch those that break their promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.api.degradation import DegradationTraits
from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol, TaskTraits
from harness.testing.degradation import DegradationContract
from harness.testing.metric import MetricContract
from harness.testing.task import TaskContract
from tests.unit.testing.made import broken

# --- degradations


class Fades:
    """Keeps all promises, and never draws."""

    traits = DegradationTraits(quantised=True)

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean * np.float32(0.5)


class Speckles(Fades):
    """Keeps all promises."""

    traits = DegradationTraits(quantised=False)

    def __init__(self) -> None: ...

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean + random.standard_normal(clean.shape, dtype=np.float32)


class Quantised(Speckles):
    """Says that its results are 8-bit images, and they are not."""

    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None: ...


class Doubles(Fades):
    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None: ...

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean.astype(np.float64) / 2


class Halves(Fades):
    """Works on even sizes alone."""

    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None: ...

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)


class Global(Fades):
    """Draws from NumPy's global generator."""

    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None: ...

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean * np.random.random(clean.shape).astype(np.float32)


class Seeded(Fades):
    """Has randomness of its own."""

    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None:
        self.own = np.random.default_rng(0)

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean * self.own.random(clean.shape, dtype=np.float32)


class Wastes(Fades):
    """Draws numbers that it does not use."""

    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None: ...

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        random.random()
        return super().__call__(clean, random)


class InPlace(Fades):
    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None: ...

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        clean *= np.float32(0.5)
        return clean


class Field(Speckles):
    """Keeps all promises, in both ways of drawing."""

    traits = DegradationTraits(quantised=False, draws=("named", "seed0"))

    def __init__(self) -> None: ...

    def with_legacy(self, clean: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        return clean + random.normal(0, 1, clean.shape).astype(np.float32)


class Fixed(Field):
    """Says that it draws as the field does, and seeds a generator of its own."""

    traits = DegradationTraits(quantised=False, draws=("named", "seed0"))

    def __init__(self) -> None: ...

    def with_legacy(self, clean: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        return super().with_legacy(clean, np.random.RandomState(0))


class Nothing(Fades):
    traits = DegradationTraits(quantised=True)

    def __init__(self) -> None: ...

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean.copy()


@pytest.mark.parametrize(
    ("part", "caught"),
    [
        (Fades, set()),
        (Speckles, set()),
        (Field, set()),
        (Fixed, {"test_draws_like_the_field_where_it_says_so"}),
        (Quantised, {"test_quantised_images_stay_in_range"}),
        (Doubles, {"test_keeps_shape_and_type"}),
        (Halves, {"test_keeps_shape_and_type"}),
        (
            Global,
            {
                "test_draws_from_the_given_generator_alone",
                "test_same_generator_same_image",
                "test_another_seed_gives_another_image",
            },
        ),
        (Seeded, {"test_same_generator_same_image"}),
        (Wastes, {"test_another_seed_gives_another_image"}),
        (InPlace, {"test_leaves_the_clean_image_alone"}),
        (Nothing, {"test_changes_the_image"}),
    ],
)
def test_degradation_contract(part: Any, caught: set[str]) -> None:
    class Case(DegradationContract):
        def make(self) -> Any:
            return part()

    assert broken(Case()) == caught


# --- tasks


class Denoise:
    """Remove noise."""

    traits = TaskTraits(
        degradation="gaussian_noise", options=("sigma",), settings={"sigma": 50.0}, protocol="rgb_uint8"
    )


class Undescribed:
    traits = TaskTraits(degradation="gaussian_noise", protocol="rgb_uint8")


class Dehaze:
    """Remove haze."""

    traits = TaskTraits(degradation="haze", protocol="rgb_uint8")


class Strange:
    """Offers an option that is not there, and sets one to a text."""

    traits = TaskTraits(
        degradation="gaussian_noise", options=("sigmas",), settings={"sigma": "strong"}, protocol="rgb_uint8"
    )


class Unscored:
    """Names no protocol that exists."""

    traits = TaskTraits(degradation="gaussian_noise", protocol="rgb_unit8")


class Own:
    """Has a protocol of its own."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("rgb_cut", 1, border=4))


class Redefines:
    """Calls a protocol of its own by the name of another."""

    traits = TaskTraits(degradation="rain", protocol=EvaluationProtocol("rgb_uint8", 1, border=4))


class Drawn:
    """Is scored on rain that is drawn as noise is."""

    traits = TaskTraits(degradation="rain", protocol="noise_seed0")


class Constructed:
    """Has a constructor."""

    traits = TaskTraits(degradation="rain", protocol="rgb_uint8")

    def __init__(self, *, density: float = 0.1) -> None: ...


UNKNOWN = {"test_degradation_exists", "test_options_exist", "test_degradation_can_be_made"}


@pytest.mark.parametrize(
    ("part", "caught"),
    [
        (Denoise, set()),
        (Own, set()),
        (Undescribed, {"test_says_what_it_is"}),
        (Dehaze, UNKNOWN),
        (Strange, {"test_options_exist", "test_degradation_can_be_made"}),
        (Unscored, {"test_protocol_is_known"}),
        (Redefines, {"test_protocol_is_known"}),
        (Drawn, {"test_its_test_images_can_be_drawn"}),
        (Constructed, {"test_traits_are_read_from_the_source"}),
    ],
)
def test_task_contract(part: Any, caught: set[str]) -> None:
    class Case(TaskContract):
        def make(self) -> Any:
            return part

    assert broken(Case()) == caught


# --- metrics


class Error:
    """Keeps all promises."""

    traits = MetricTraits(higher_is_better=False)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        return float(np.abs(restored - truth).mean())


class Reversed(Error):
    """Says that its error is better the higher it is."""

    traits = MetricTraits(higher_is_better=True)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        super().__init__(protocol)


class Scalar(Error):
    """Gives an array of one number."""

    traits = MetricTraits(higher_is_better=False)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        super().__init__(protocol)

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> Any:
        return np.abs(restored - truth).mean(keepdims=True)


class Divides(Error):
    """Knows no black images."""

    traits = MetricTraits(higher_is_better=False)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        super().__init__(protocol)

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.abs(restored - truth).mean() / truth.mean())


class Rounds(Error):
    """Changes what it is given."""

    traits = MetricTraits(higher_is_better=False)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        super().__init__(protocol)

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        restored -= truth
        return float(np.abs(restored).mean())


class Remembers(Error):
    """Averages over its calls."""

    traits = MetricTraits(higher_is_better=False)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        super().__init__(protocol)
        self.values: list[float] = []

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        self.values.append(super().__call__(restored, truth))
        return float(np.mean(self.values))


class Windowed(Error):
    """Has a window of 11×11 pixels, and no word for smaller images."""

    traits = MetricTraits(higher_is_better=False)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        super().__init__(protocol)

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        views = np.lib.stride_tricks.sliding_window_view(np.abs(restored - truth), (11, 11), (0, 1))
        return float(views.mean())


class Unprotocolled:
    """Wants an option where the protocol stands."""

    traits = MetricTraits(higher_is_better=False)

    def __init__(self, protocol: EvaluationProtocol, border: int = 0) -> None: ...

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        return float(np.abs(restored - truth).mean())


@pytest.mark.parametrize(
    ("part", "caught"),
    [
        (Error, set()),
        (Reversed, {"test_more_noise_is_worse", "test_identical_images_are_best"}),
        (Scalar, {"test_gives_one_float", "test_more_noise_is_worse"}),
        (Divides, {"test_flat_images_have_a_value"}),
        (Rounds, {"test_leaves_the_images_alone", "test_value_depends_on_the_images_alone"}),
        (Remembers, {"test_value_depends_on_the_images_alone"}),
        (Windowed, {"test_small_images_have_a_value_or_a_reason"}),
        (Unprotocolled, {"test_options_are_keywords"}),
    ],
)
def test_metric_contract(part: Any, caught: set[str]) -> None:
    class Case(MetricContract):
        def make(self, protocol: EvaluationProtocol) -> Any:
            return part(protocol)

    assert broken(Case()) == caught
