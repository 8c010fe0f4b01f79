"""The contract of data sets catches those that break their promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.testing.dataset import DatasetContract
from tests.unit.testing import datasets, heavy_dataset
from tests.unit.testing.made import broken

ELSEWHERE = "test_planning_can_ask_without_torch"


@pytest.mark.parametrize(
    ("part", "caught"),
    [
        (datasets.Good, set()),
        (datasets.Twice, {"test_keys_are_unique"}),
        (
            datasets.Wanders,
            {
                "test_order_is_fixed",
                "test_images_are_what_their_declaration_says",
                "test_images_stay_the_same",
                ELSEWHERE,
            },
        ),
        (datasets.Leaks, {"test_no_scene_is_in_two_splits"}),
        (datasets.Floats, {"test_images_are_what_their_declaration_says"}),
        (datasets.Swaps, {"test_images_are_what_their_declaration_says"}),
        (datasets.Noisy, {"test_images_stay_the_same"}),
        (datasets.Undeclared, {"test_images_are_what_their_declaration_says"}),
        (datasets.Paired, set()),
        (datasets.Blinks, {"test_images_stay_the_same"}),
        (datasets.TwoTruths, {"test_images_that_share_a_truth_have_the_same"}),
        (datasets.Picks, {"test_chosen_images_are_the_same"}),
        (datasets.TakesAnyKey, {"test_chosen_images_are_the_same"}),
        (datasets.TellsThePlace, {"test_says_what_it_leaves_out"}),
        (datasets.GivesNoReason, {"test_says_what_it_leaves_out"}),
        (datasets.Hashes, {ELSEWHERE}),
        (datasets.Where, {"test_fingerprint_is_stable", "test_fingerprint_does_not_know_the_place"}),
        (datasets.Positional, {"test_options_are_keywords"}),
        (datasets.Elsewhere, {"test_traits_are_read_from_the_source"}),
    ],
)
def test_dataset_contract(part: Any, caught: set[str]) -> None:
    class Case(DatasetContract):
        def make(self) -> Any:
            return part()

        def moved(self, folder: Path) -> Any:
            return part(folder=str(folder)) if part is datasets.Where else None

    assert broken(Case()) == caught


def test_a_module_that_imports_torch_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process finds an empty torch here: the real one takes seconds."""
    (tmp_path / "torch.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    class Case(DatasetContract):
        def make(self) -> Any:
            return heavy_dataset.Heavy()

    with pytest.raises(AssertionError, match="its module imports torch"):
        Case().test_planning_can_ask_without_torch()
