"""What a cell that is scored again has on record of test sets that were made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.core.paths import Layout
from harness.parts.catalogue import REGISTRY
from harness.planning.assess import assess
from harness.planning.outdated import outdated_of
from harness.records.model import EvaluationRecord, vectors_of
from tests.small_metrics import plain_metric
from tests.unit.records.made import conditioned, finish, listed, prepare, refined, values

BLIND = PartRef(name="gaussian_denoise", options={"sigma": [0, 50]})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "out", tmp_path / "data")


def left(layout: Layout, *, images: str = "", vectors: str = "") -> Any:
    """A cell with a prior on record under two conditions, of which the suite knows one; what was made anew since."""
    cell = refined(task=BLIND)
    low, high = conditioned(cell, sigma=15), conditioned(cell, sigma=25)
    stored = low.samples().stored
    features = cell.test_features(low.samples())
    assert features is not None
    named = f"{stored.name}/{stored.split}"
    used = {named: images, vectors_of(features.name): vectors}
    data = {name: digest for name, digest in used.items() if digest}
    record = finish(layout, cell, tests=[(low, values([34.0])), (high, values([30.0]))], data=data)
    prepare(layout, stored, features)
    found = outdated_of(cell.id, assess([listed(cell, tests=[low])], [plain_metric("psnr")], (), layout, REGISTRY, ()))
    return found, record.evaluations, named, vectors_of(features.name)


def ids(evaluations: tuple[EvaluationRecord, ...]) -> tuple[str, ...]:
    return tuple(each.id for each in evaluations)


def test_nothing_is_outdated_where_nothing_changed(layout: Layout) -> None:
    found, *_ = left(layout)
    assert (found.evaluations, found.data) == ((), ())


def test_images_made_anew_outdate_every_condition_of_them(layout: Layout) -> None:
    """The noise is drawn over one stored set, so that the condition that this suite does not know changed as well."""
    found, evaluations, named, _ = left(layout, images="f" * 64)
    assert (found.evaluations, found.data) == (ids(evaluations), (named,))


def test_vectors_made_anew_are_named_as_records_name_them(layout: Layout) -> None:
    found, evaluations, _, vectors = left(layout, vectors="f" * 64)
    assert (found.evaluations, found.data) == (ids(evaluations), (vectors,))
