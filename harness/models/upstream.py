"""The trained weights that other cells rest on, checked against the record of the cell that left them."""

from __future__ import annotations

from torch import nn

from harness.cells.cell import Cell
from harness.core.errors import DataError
from harness.core.paths import Layout
from harness.models.readings import fill_from
from harness.models.weights import file_digest
from harness.parts.shared.formats import read_entries
from harness.records import store
from harness.records.model import weights_of


def sound_weights(cell: Cell, layout: Layout) -> str:
    """SHA-256 of the final weights of a trained cell: they are those that its record names. None on record: believed.

    Raises DataError: kind `checkpoint` when the file is missing or another one, else when the record is damaged.
    """
    path = layout.final_weights(cell.id)
    where = f"{weights_of(cell.id)}: {path}"
    if not path.is_file():
        what = "its trained weights cannot be read: there is no such file"
        raise DataError(what, where=where, hint="bench run SUITE trains it", kind="checkpoint")
    found, record = file_digest(path), store.load(layout, cell.id)
    wanted = record.training.checkpoint_sha256 if record and record.training else None
    if wanted not in (None, found):
        what = f"its trained weights are damaged: their SHA-256 is {found[:12]}…, its record says {str(wanted)[:12]}…"
        raise DataError(what, where=where, hint="bench run SUITE trains it again", kind="checkpoint")
    return found


def load_sound(module: nn.Module, cell: Cell, layout: Layout) -> None:
    """Fills a module of a trained cell from its final weights, which are read once for their digest and once to load.

    Raises DataError as `sound_weights`, and (kind `checkpoint`) when they are of another module.
    """
    sound_weights(cell, layout)
    path = layout.final_weights(cell.id)
    fill_from(module, read_entries(path, kind="checkpoint"), where=str(path), strict=True, kind="checkpoint")
