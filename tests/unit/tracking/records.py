"""A cell's record as a run leaves it, for the tests of tracking."""

from __future__ import annotations

from pathlib import Path

from harness.api.reference import PartRef
from harness.cells.cell import RULES, Cell
from harness.cells.suite import Labels, ResolvedSuite, SuiteCell
from harness.core.paths import Layout, write_bytes, write_text
from harness.records.model import Attempt, EvaluationRecord, Failure, Provenance, RunRecord, Training
from harness.records.store import ImageRow, rewrite_events, save, save_images

CELL = Cell(
    task=PartRef(name="gaussian_denoise", options={"sigma": 25.0}),
    train=PartRef(name="photos", digest="d"),
    backbone=PartRef(name="nafnet", options={"width": 8}),
    rules=RULES,
)
LABELS = Labels(task="denoise", backbone="NAFNet", variant="base")
PROVENANCE = Provenance(harness="0.1.0", code="c0de", python="3.11", platform="p", processor="cpu", cpus=2)


def cell(seed: int) -> Cell:
    return CELL.model_copy(update={"seed": seed})


def leave(layout: Layout, seed: int = 0, *, psnr: float = 30.0, losses: tuple[float, ...] = (0.5, 0.25)) -> str:
    """Writes a finished cell: record, per-image metrics, loss curve and a strip. Gives its id."""
    cell_id = cell(seed).id
    rows = [ImageRow("e1", "photos", key, "psnr", psnr + shift) for key, shift in (("a", -1.0), ("b", 1.0))]
    rows += [ImageRow("e1", "photos", key, "ssim", 0.5) for key in "ab"]
    evaluation = EvaluationRecord(
        id="e1",
        dataset="photos",
        split="test",
        protocol="rgb/v1",
        metrics={"psnr": "1", "ssim": "1"},
        images=2,
        seconds=1.0,
    )
    training = Training(
        steps=40, images=320, seconds=12.5, final_loss=losses[-1], backbone_parameters=1000, added_parameters=0,
        checkpoint_sha256="5a",
    )  # fmt: skip
    attempt = Attempt(
        job=f"train-{cell_id}", started="2026-01-01T00:00:00", ended="2026-01-01T00:01:00", outcome="done"
    )
    save(
        layout,
        RunRecord(
            cell_id=cell_id,
            status="done",
            labels=LABELS.model_dump(),
            cell=cell(seed).model_dump(mode="json"),
            provenance=PROVENANCE,
            training=training,
            evaluations=(evaluation,),
            images_sha256=save_images(layout, cell_id, rows),
            attempts=(attempt,),
        ),
    )
    write_curve(layout, seed, losses)
    write_bytes(layout.samples(cell_id) / "photos.png", b"png")
    return cell_id


def write_curve(layout: Layout, seed: int, losses: tuple[float, ...]) -> None:
    """The events of a training with one step line for each loss, every 20 steps."""
    steps = [
        {"time": f"2026-01-01T00:{i:02d}:00+00:00", "job": "train-x", "event": "step", "step": 20 * (i + 1)}
        | {"steps": 20 * len(losses), "loss": loss, "lr": 1e-3}
        for i, loss in enumerate(losses)
    ]
    rewrite_events(layout, cell(seed).id, [{"time": "2026-01-01T00:00:00+00:00", "event": "start", "step": 0}, *steps])


def leave_failed(layout: Layout, seed: int) -> str:
    """Writes a cell whose training failed."""
    cell_id = cell(seed).id
    failure = Failure(kind="nan", message="the loss is not a number")
    content = cell(seed).model_dump(mode="json")
    save(
        layout,
        RunRecord(
            cell_id=cell_id,
            status="failed",
            labels=LABELS.model_dump(),
            cell=content,
            provenance=PROVENANCE,
            failure=failure,
        ),
    )
    return cell_id


def leave_suite(layout: Layout, name: str, seeds: range) -> ResolvedSuite:
    """Writes the resolved suite that these cells belong to."""
    cells = tuple(SuiteCell(cell=cell(seed), labels=LABELS, tests=(CELL.test_set(CELL.train),)) for seed in seeds)
    suite = ResolvedSuite(name=name, cells=cells, metrics=("psnr", "ssim"))
    write_text(layout.suite(name), suite.model_dump_json(indent=1) + "\n")
    return suite


def layout_in(folder: Path) -> Layout:
    return Layout(folder / "out", folder / "data")
