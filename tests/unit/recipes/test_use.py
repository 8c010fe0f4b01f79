"""What the record says of a recipe: how a training used its preset, and where it departed from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.recipes.presets import recipe_use
from tests.unit.recipes.suites import cell, cells


def test_fewer_gpus_see_the_same_images(tmp_path: Path) -> None:
    official = cell(tmp_path, "{preset: official}")
    use = recipe_use(official, 8)
    assert use is not None
    assert (use.preset, use.differs, use.micro_batch) == ("restormer/derain/v3", {}, (8, 5, 4, 2, 1, 1))
    alone = cell(tmp_path, "{preset: official, micro_batch: 4}")
    use = recipe_use(alone, 1)
    assert use is not None
    assert use.differs == {"gpus": (8, 1), "micro_batch": ([8, 5, 4, 2, 1, 1], [4, 4, 4, 4, 4, 4])}
    assert alone.recipe.images == official.recipe.images == 11_040_000


def test_the_record_says_what_fewer_processes_than_the_authors_see_at_once(tmp_path: Path) -> None:
    """Eight GPUs of the authors on two processes: without a micro-batch a pass has four times as many images."""
    use = recipe_use(cell(tmp_path, "{preset: official}"), 2)
    assert use is not None
    assert use.differs == {"gpus": (8, 2), "micro_batch": ([8, 5, 4, 2, 1, 1], [32, 20, 16, 8, 4, 4])}
    use = recipe_use(cell(tmp_path, "{preset: official, micro_batch: 2}"), 2)
    assert use is not None
    assert use.differs["micro_batch"] == ([8, 5, 4, 2, 1, 1], [2, 2, 2, 2, 2, 2])


def test_the_record_says_what_was_changed(tmp_path: Path) -> None:
    backbone = "{name: restormer, dim: 16}"
    use = recipe_use(cell(tmp_path, "{preset: proxy, lr: 2e-3, patch: 48, losses: [charbonnier]}", backbone), 1)
    assert use is not None
    official, used = use.differs["losses"]
    assert (official, used[0]["name"], used[0]["eps"]) == ([{"name": "l1", "weight": 1.0}], "charbonnier", 1e-3)
    others = {name: pair for name, pair in use.differs.items() if name != "losses"}
    assert others == {"lr": (1e-3, 2e-3), "backbone.dim": (8, 16)}
    assert type(use).model_validate_json(use.model_dump_json()).differs.keys() == use.differs.keys()
    assert recipe_use(cell(tmp_path, "{steps: 5}"), 1) is None


TOGETHER = [  # micro-batch, processes: images that are normalised together
    ((None, 1), [32]),
    ((None, 4), [32]),  # of all processes
    ((8, 2), [8]),
    ((16, 4), [16]),  # of two of them
]


def test_the_record_says_whose_statistics_a_batch_norm_saw(tmp_path: Path) -> None:
    """EnlightenGAN's authors spread 32 images over three GPUs, each of which normalised its own share."""
    official = cell(tmp_path, "{preset: official}", "enlightengan", "low_light")
    for (micro_batch, processes), together in TOGETHER:
        recipe = official.recipe.model_copy(update={"micro_batch": micro_batch})
        made = official.model_copy(update={"recipe": recipe})
        use = recipe_use(made, processes, takes_statistics=True)
        plain = recipe_use(made, processes)
        assert use is not None
        assert plain is not None
        assert use.differs == {**plain.differs, "batch_norm": ([11], together)}, (micro_batch, processes)
        assert "batch_norm" not in plain.differs


def test_batch_norms_that_see_what_the_authors_did_are_not_told_of(tmp_path: Path) -> None:
    official = cell(tmp_path, "{preset: official}", "sci", "low_light")
    more = official.recipe.model_copy(update={"batch": 4})
    for made, told in ((official, None), (official.model_copy(update={"recipe": more}), ([1], [4]))):
        use = recipe_use(made, 1, takes_statistics=True)
        assert use is not None
        assert use.differs.get("batch_norm") == told


@pytest.mark.parametrize(
    ("preset", "task", "told"),
    [
        ("promptir/gaussian_denoise", "gaussian_denoise", ("floor", "none")),
        ("promptir/gaussian_denoise", "{name: gaussian_denoise, quantise: floor}", None),
        ("restormer/gaussian_denoise", "gaussian_denoise", None),
        ("restormer/gaussian_denoise", "{name: gaussian_denoise, quantise: round}", ("none", "round")),
        ("promptir/derain", "gaussian_denoise", None),
    ],
)
def test_the_record_says_where_the_task_is_not_that_of_the_authors_data(
    tmp_path: Path, preset: str, task: str, told: tuple[str, str] | None
) -> None:
    use = recipe_use(cell(tmp_path, f"{{preset: {preset}}}", preset.partition("/")[0], task), 1)
    assert use is not None
    assert use.differs.get("task.quantise") == told


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("{name: gaussian_denoise, sigma: [0, 50]}", None),
        ("{name: gaussian_denoise, sigma: [0, 55]}", ([0, 50], [0.0, 55.0])),
        ("gaussian_denoise", ([0, 50], 25.0)),
    ],
)
def test_a_range_of_noise_is_compared_too(tmp_path: Path, task: str, told: tuple[object, object] | None) -> None:
    extra = "" if task == "gaussian_denoise" else ", test_options: [{sigma: 25}]"
    block = f"{{task: {task}, backbone: drunet, recipe: {{preset: drunet/gaussian_denoise}}{extra}}}"
    use = recipe_use(cells(tmp_path, block)[0], 1)
    assert use is not None
    assert use.differs.get("task.sigma") == told


def test_options_that_the_task_does_not_have_are_not_compared(tmp_path: Path) -> None:
    use = recipe_use(cell(tmp_path, "{preset: promptir/gaussian_denoise}", "promptir", "derain"), 4)
    assert use is not None
    assert use.differs == {}


def test_a_preset_leaves_the_task_as_it_is(tmp_path: Path) -> None:
    made = cell(tmp_path, "{preset: official}", "promptir", "gaussian_denoise")
    assert made.task == cell(tmp_path, "{steps: 5}", "promptir", "gaussian_denoise").task
