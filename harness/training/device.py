"""The Accelerator of one job. A worker runs many jobs, one after the other."""

from __future__ import annotations

from typing import Literal

from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import GradientAccumulationPlugin

from harness.core.errors import HarnessError


def start_accelerator(precision: Literal["fp32", "bf16", "fp16"], *, gpus: int | Literal["auto"]) -> Accelerator:
    """Device, precision and ranks of this job. `gpus` 0 keeps it on the CPU, `auto` takes a GPU when there is one.

    Accelerate keeps its state in process-wide singletons that refuse another precision, so the state that the previous
    job of this worker left is cleared first. The process group, where a launcher has begun one, is kept.
    Raises HarnessError when the device cannot do the precision.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    accelerator = Accelerator(
        cpu=gpus == 0,
        mixed_precision="no" if precision == "fp32" else precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # the step accumulates by itself
    )
    if precision != "fp32" and not accelerator.native_amp:
        # Accelerate would silently go on in float32.
        raise HarnessError(
            f"{accelerator.device.type} cannot train in {precision}", hint="set recipe.precision to fp32 or bf16"
        )
    if isinstance(gpus, int) and gpus > 1 and accelerator.num_processes != gpus:
        raise HarnessError(
            f"the job asks for {gpus} GPUs and runs in {accelerator.num_processes} process",
            hint="set run.gpus to 1, or start the job under a launcher with one process per GPU",
        )
    return accelerator
