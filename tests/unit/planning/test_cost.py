"""How long jobs will take, from what is on record of others."""

from __future__ import annotations

from harness.cells.cell import Cell
from harness.cells.recipe import Recipe
from harness.planning.cost import Costs
from harness.planning.job import EvaluateWork, TrainWork
from harness.records.model import EvaluationRecord, RunRecord, Training
from tests.unit.records.made import PROVENANCE, cell, photos


def on_record(made: Cell, *seconds: float, trained: float = 30.0, together: int = 1) -> tuple[Cell, RunRecord]:
    """A cell that was trained for 10 steps and scored in so many passes, the second on another set."""
    evaluations = tuple(
        EvaluationRecord(
            id=f"e{place}",
            dataset=("photos", "others")[place],
            split="test",
            protocol="p/v1",
            metrics={},
            images=1,
            seconds=each,
        )
        for place, each in enumerate(seconds)
    )
    training = Training(
        steps=10,
        images=10,
        seconds=trained,
        together=together,
        final_loss=0.1,
        backbone_parameters=1,
        added_parameters=0,
        checkpoint_sha256="a",
    )
    return made, RunRecord(
        cell_id=made.id,
        status="done",
        labels={},
        cell=made.model_dump(mode="json"),
        provenance=PROVENANCE,
        training=training,
        evaluations=evaluations,
    )


def scoring(made: Cell, *names: str) -> EvaluateWork:
    tests = [made.test_set(photos().model_copy(update={"name": name})).samples() for name in names]
    return EvaluateWork(cell=made, tests=tuple(tests), metrics=())


def test_means_over_seeds_are_those_of_the_kind():
    costs = Costs([on_record(cell(0), 1.0, 5.0), on_record(cell(1), 3.0, trained=50.0)])
    longer = cell(2, recipe=Recipe(steps=100, lr=0.5))
    assert costs.seconds(TrainWork(cell=longer)) == 400.0
    assert costs.seconds(scoring(longer, "photos")) == 2.0
    assert costs.seconds(scoring(longer, "photos", "others")) == 7.0


def test_what_is_not_on_record_is_not_guessed():
    costs = Costs([on_record(cell(0), 1.0)])
    assert costs.seconds(scoring(cell(1), "photos", "others")) is None
    assert costs.seconds(TrainWork(cell=cell(1, recipe=Recipe(batch=3)))) is None
    assert Costs([]).seconds(TrainWork(cell=cell(1))) is None


def test_a_share_of_the_time_of_several_is_no_pace():
    costs = Costs([on_record(cell(0), 1.0, trained=5.0, together=4), on_record(cell(1), 3.0)])
    assert costs.seconds(TrainWork(cell=cell(2, recipe=Recipe(steps=10)))) == 30.0
    assert costs.seconds(scoring(cell(2), "photos")) == 2.0
    only = Costs([on_record(cell(0), 1.0, together=4)])
    assert only.seconds(TrainWork(cell=cell(2))) is None
    assert only.seconds(scoring(cell(2), "photos")) == 1.0


def test_every_seed_asks_once(monkeypatch):
    """The passes of a kind are not walked through for every cell of it."""
    costs = Costs([on_record(cell(seed), 1.0) for seed in range(20)])
    monkeypatch.setattr("harness.planning.cost.fmean", None)
    assert {costs.seconds(scoring(cell(seed), "photos")) for seed in range(20)} == {1.0}
