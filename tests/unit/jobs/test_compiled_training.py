"""Cells that train as graphs: their record says so, a resumed one has the same bits, the second one begins soon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.jobs import train
from harness.training import tryout
from harness.training.compiler import compiled_folder
from harness.training.loop import Training
from tests.small_world import RUN, SmallWorld, small_cell

ON = RUN.model_copy(update={"compile": "on"})
QUICK = small_cell(backbone=PartRef(name="zero_dce"))
"""A cell whose network is traced in a second."""


def trained(world: SmallWorld, cell: Cell) -> str:
    """The digest of the weights of a cell trained as graphs."""
    train.run(world.train_job(cell, run=ON), world.context)
    return file_sha256(world.layout.final_weights(cell.id))


def cut_off(world: SmallWorld, cell: Cell, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """A training that ends after a step."""

    def look(self: Training, step: int, *given: object) -> None:
        before(self, step, *given)  # type: ignore[arg-type]
        if step == after:
            raise KeyboardInterrupt

    before = Training._look
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "_look", look)
        trained(world, cell)


def resumes_to_the_same_bits(world: SmallWorld, cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(world, cell)
    record, curve = world.record(cell), world.curve(cell)
    other = SmallWorld(Layout(world.layout.out.with_name("other"), world.layout.data))
    cut_off(other, cell, monkeypatch, 9)
    assert trained(other, cell) == whole
    assert other.curve(cell) == curve
    for each in (record, other.record(cell)):
        assert each.training is not None
        assert each.training.compilation is not None
        assert each.training.compilation.parts == {"backbone": "compiled", "charbonnier": "compiled"}
        assert each.training.compilation.seconds > 0


def test_a_training_as_graphs_that_was_cut_off_goes_on_to_the_same_bits(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tryout, "BACKEND", "aot_eager")
    resumes_to_the_same_bits(world, QUICK, monkeypatch)


@pytest.mark.slow
def test_so_it_does_behind_inductor_and_the_next_one_finds_the_graphs(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumes_to_the_same_bits(world, small_cell(), monkeypatch)
    folder = compiled_folder(world.layout)
    assert list(folder.rglob("*.cpp"))
    before = set(folder.rglob("*.so"))
    trained(world, small_cell(seed=1))
    assert set(folder.rglob("*.so")) == before
    assert not [name for name in sys.modules if name.startswith("torch._inductor.runtime.compile_tasks.")]


def test_a_machine_without_a_compiler_trains_as_written(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch._inductor.config

    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, str(tmp_path / "g++")))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    cell = QUICK
    with caplog.at_level("INFO"):
        as_written = trained(world, cell)
    compilation = world.record(cell).training.compilation  # type: ignore[union-attr]
    assert compilation is not None
    assert set(compilation.parts) == {"backbone", "charbonnier"}
    assert all("No working C++ compiler" in reason for reason in compilation.parts.values()), compilation.parts
    assert sum("runs as written" in line for line in caplog.messages) == 2
    other = SmallWorld(Layout(world.layout.out.with_name("other"), world.layout.data))
    train.run(other.train_job(cell), other.context)
    assert file_sha256(other.layout.final_weights(cell.id)) == as_written
    assert other.record(cell).training.compilation is None  # type: ignore[union-attr]
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
