"""`run.deterministic`: what it sets in a process, and what is said of an operation that has no deterministic form."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from harness.cells.suite import Run
from harness.core.errors import HarnessError, text_of
from harness.core.guests import is_guest
from harness.jobs.gang import on_gpu

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_FIXED = (":4096:8", ":16:8")
"""Its values with which cuBLAS adds in one order, by torch's notes on reproducibility."""
_REFUSED = re.compile(r"(.+?) does not have a deterministic implementation")
_CUBLAS = "Deterministic behavior was enabled with"
_PARTS = re.compile(r"harness\.parts\.(backbone|refiner|loss|prior)(e?s)\.")


def settle_determinism(run: Run, *, trains: bool) -> None:
    """The settings of torch that decide whether two runs give the same bits. `trains`: whether the job is a training.

    CPUs give them in any case, by the algorithms that torch calls deterministic; where there is none, it warns. GPUs
    take the fastest ones unless `run.deterministic` asks for the same bits; cuDNN then looks for them in trainings,
    whose batches all have one size. Fresh tensors are not filled with NaN, which deterministic mode does by default: it
    shows reads of memory that nobody wrote, and costs a pass over memory for each tensor.
    """
    gpu, fixed = on_gpu(run), run.deterministic
    # cuBLAS and torch read it once, when a process first multiplies on a GPU, and a worker runs many jobs: so for all.
    if fixed and os.environ.get(_WORKSPACE) not in _FIXED:
        os.environ[_WORKSPACE] = _FIXED[0]
    os.environ.setdefault(_WORKSPACE, _FIXED[0])
    # use_deterministic_algorithms() does the same, and imports Inductor: 4 s
    torch.set_deterministic_debug_mode("error" if fixed else "default" if gpu else "warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = fixed
    torch.backends.cudnn.benchmark = gpu and trains and not fixed


@contextmanager
def refusals_told() -> Iterator[None]:
    """Says of an operation without a deterministic form, which torch refuses in this block, whose it is and what to
    try: a HarnessError (kind `suite`)."""
    try:
        yield
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        raise told from error


def _told(error: BaseException) -> HarnessError | None:
    """What a refusal means, wherever in the chain of an error it stands; None for any other error."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, RuntimeError):
            text = text_of(each)
            if found := _REFUSED.match(text):
                what = f"{_place(each)}: torch has no deterministic form of {found[1]} here, which"
                return HarnessError(f"{what} run.deterministic asks for", hint="run.deterministic: false", kind="suite")
            if text.startswith(_CUBLAS):
                what = "this process began to compute on its GPU without what makes cuBLAS deterministic"
                hint = f"{_WORKSPACE}={_FIXED[0]} in the environment of the command, or run.deterministic: false"
                return HarnessError(what, hint=hint, kind="suite")
        each = each.__cause__ or each.__context__
    return None


def _place(error: BaseException) -> str:
    """The part in whose forward pass an error was raised; none of its code runs while gradients are computed."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and (is_guest(type(owner)) or _PARTS.match(type(owner).__module__)):
            kind = _PARTS.match(type(owner).__module__)
            return f"{kind[1]} {type(owner).__name__}" if kind else type(owner).__name__
    return "the gradients of the network or a loss"
