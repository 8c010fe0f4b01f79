"""How a run used an official recipe, as its record says."""

from __future__ import annotations

from typing import Any

from harness.api.reference import Frozen


class RecipeUse(Frozen):
    """The preset behind a training, and where the training departed from it."""

    preset: str
    """`<network>/<recipe>/v<version>`."""
    gpus: int | None
    """GPUs of the authors' own run, over which its batch was spread; None where that is not known."""
    processes: int
    """Processes of this run."""
    micro_batch: tuple[int, ...]
    """Images of one forward pass of one process in this run, by stage; the rest of the batch is accumulated."""
    differs: dict[str, tuple[Any, Any]]
    """Field → (official, used), for what changes the result (`lr`, `images`, `task.quantise`) and what does not
    (`gpus`). `batch_norm`, where there is one: images whose statistics it takes at once, by stage; on the authors' GPUs
    those of a GPU's share, here those of `micro_batch` images, or of the batch, over all processes."""
