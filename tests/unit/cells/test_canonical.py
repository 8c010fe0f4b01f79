"""Ids that are put together of texts of parts are those of the whole content."""

from __future__ import annotations

import pytest

from harness.api.reference import PartRef
from harness.api.task import NOISE_SEED0, RGB_UINT8
from harness.cells.cell import Cell, Variant, evaluation_id
from harness.cells.recipe import LossTerm, Recipe
from harness.core.identity import canonical_json, digest
from tests.unit.records.made import cell, degraded, photos, refined, task

NOISE = PartRef(name="gaussian_noise", options={"sigma": 15.0}, drawn=True)
CELLS = {
    "plain": cell(),
    "input": degraded(),
    "refined": refined(variant={"regime": "frozen", "views": 8}, base=cell()),
    "from a prior's network": refined(prior=PartRef(name="restoration", digest=cell(1).id), prior_source=cell(1)),
    "weights and files": cell(backbone=PartRef(name="nafnet", weights="w", digest="d", files={"a": "/b"})),
    "recipe": cell(seed=7, recipe=Recipe(steps=5, lr=1e-4, mixup=1.2, losses=(LossTerm(part=PartRef(name="l1")),))),
    "of earlier rules": cell(rules=2, variant=Variant(features="crop")),
    "of the first rules": cell(rules=1),
    "drawn noise": cell(task=PartRef(name="gaussian_denoise", derived_from=NOISE)),
}


@pytest.mark.parametrize("made", CELLS.values(), ids=CELLS)
def test_the_id_of_a_cell_is_the_digest_of_its_content(made: Cell):
    assert made.id == digest(made.content(), 12)
    for part in (made.task, made.train, made.variant, made.recipe):
        assert part.canonical == canonical_json(part.identity())


@pytest.mark.parametrize("protocol", [RGB_UINT8, NOISE_SEED0])
@pytest.mark.parametrize("made", [CELLS["plain"], CELLS["drawn noise"]])
def test_the_id_of_an_evaluation_is_the_digest_of_its_content(made: Cell, protocol):
    samples = made.test_set(photos()).samples(protocol.draw)
    content = {"cell": made.id, "samples": samples.identity(), "protocol": protocol.identity()}
    assert evaluation_id(made, samples, protocol) == digest(content, 12)


def test_copies_with_other_content_have_other_texts_and_names():
    part = PartRef(name="a")
    assert part.canonical != part.model_copy(update={"name": "b"}).canonical
    first = cell().train_samples
    assert first.name != first.model_copy(update={"noise": NOISE}).name
    assert first.stored.name != first.stored.model_copy(update={"dataset": PartRef(name="other")}).name
    tests = cell().test_set(photos())
    assert tests.samples() is tests.samples()
    other = tests.model_copy(update={"task": task("derain", level=3), "split": "other"})
    assert other.samples().split == "other"


def test_texts_that_are_remembered_are_in_no_dump_and_change_no_equality():
    part, fresh = PartRef(name="a", options={"b": 1}), PartRef(name="a", options={"b": 1})
    before = part.model_dump_json()
    assert part.canonical
    assert part.model_dump_json() == before
    assert part == fresh
    assert PartRef.model_validate_json(before) == part
