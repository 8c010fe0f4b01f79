"""PTG-RM alone, with the gradient of its input: compiled as the harness runs it on a GPU, against its plain definition
run operation by operation, with the same weights.

`fp32` with TF32 as PyTorch has it; `bf16` by autocast. Graphs are made beforehand by processes beside each other, so
that the measuring takes them from the compiler's cache. Memory is what PyTorch holds at most during a step, weights and
inputs apart. `python -m tests.benchmarks.gpu.ptg_rm CASE` makes the graphs of one case.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn

from harness.parts.ops import forms
from harness.parts.refiners.ptg_rm.refiner import PTGRM
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.clock import Work, alternated, device, peak_reserved, reserved, seconds, settled
from tests.benchmarks.gpu.finding import Goal
from tests.benchmarks.gpu.processes import beside

DIM = 512
MAKING = 0.5
"""Share of the time that the making of graphs beforehand may take."""
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Case:
    """Images of one size in one precision."""

    batch: int
    height: int
    width: int
    precision: Precision
    step: float
    """How many times as fast a step is to be."""
    forward: float = 3.0

    @property
    def name(self) -> str:
        return f"{self.batch}×{self.height}×{self.width} {self.precision}"


SIZES = ((2, 256, 256, 4.0), (8, 128, 128, 4.0), (16, 256, 256, 3.0), (2, 512, 960, 3.0))
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
CASES = (
    *(Case(b, h, w, precision, step) for b, h, w, step in SIZES for precision in PRECISIONS),
    *(Case(1, 64, 64, precision, 1.0, 1.0) for precision in PRECISIONS),
)
SMALL = (Case(1, 16, 16, "bf16", 1.0, 1.0),)


class Forms:
    """The same module in both forms, and what it is given."""

    def __init__(self, case: Case) -> None:
        self.case, self.device = case, device()
        torch.backends.cudnn.benchmark = True  # as trainings have it
        torch.manual_seed(0)
        self.module = PTGRM(DIM).to(self.device)
        images = torch.rand(2, case.batch, 3, case.height, case.width, device=self.device)
        prior = nn.functional.normalize(torch.randn(case.batch, DIM, device=self.device), dim=1)
        self.given = (images[0], images[1].requires_grad_(), prior)

    def compiled(self) -> nn.Module:
        """On a CPU the graphs are run operation by operation: made in seconds, and no faster."""
        if self.device.type == "cpu":
            return cast(nn.Module, torch.compile(self.module, dynamic=False, fullgraph=True, backend="aot_eager"))
        return cast(nn.Module, torch.compile(self.module, dynamic=False, fullgraph=True, mode="reduce-overhead"))

    def works(self, network: nn.Module) -> dict[str, Work]:
        """A forward pass without gradients, and a training step but for the optimizer."""

        def restored() -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.case.precision == "bf16"):
                return cast(Tensor, network(*self.given))

        def forward() -> None:
            with torch.no_grad():
                restored()

        def step() -> None:
            self.module.zero_grad()
            self.given[1].grad = None
            restored().float().square().mean().backward()

        return {"step": step, "forward": forward}


def plain(work: Work) -> Callable[[], None]:
    """The work by definitions alone."""

    def run() -> None:
        with forms.using("plain"):
            work()

    return run


def measure(bench: Bench) -> None:
    """Tells what each case gains, as many as the time holds."""
    cases = SMALL if bench.small else CASES
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(bench.folder / "compiled")
    commands = [[sys.executable, "-m", "tests.benchmarks.gpu.ptg_rm", case.name] for case in cases]
    at_once = max(1, (os.cpu_count() or 1) // 2)
    began = time.monotonic()
    codes = beside(commands, bench.folder / "logs", at_once, bench.left() * MAKING, TORCHINDUCTOR_COMPILE_THREADS="2")
    making = f"{codes.count(0)} of {len(codes)} cases, {at_once} at once"
    bench.report.tell("graphs made beforehand", time.monotonic() - began, "s", note=making)
    share = bench.left() / len(cases)
    bench.each({case.name: partial(one_case, bench, case, share) for case in cases})


def one_case(bench: Bench, case: Case, share: float) -> None:
    """Tells what one case gains."""
    torch.compiler.reset()
    both = Forms(case)
    slow = {name: plain(work) for name, work in both.works(both.module).items()}
    fast = both.works(both.compiled())
    _tell_memory(bench, case, slow["step"], fast["step"])  # before there is a graph of anything else
    for name, times in (("step", case.step), ("forward", case.forward)):
        taken = alternated({"plain": slow[name], "compiled": fast[name]}, share / 4)
        words = f"{1e3 * taken['compiled']:.2f} ms, plain {1e3 * taken['plain']:.2f}"
        bench.report.tell(f"{case.name} {name}", taken["plain"] / taken["compiled"], "×", Goal("≥", times), words)


def _tell_memory(bench: Bench, case: Case, slow: Work, fast: Work) -> None:
    """Tells the peak memory of a step, and how long its graph took to make from the cache."""
    name = f"{case.name} memory of a step"
    if device().type == "cpu":
        bench.report.skip(name, "there is no GPU")
        return
    before = reserved()
    usual = peak_reserved(slow, before)
    making = seconds(fast)
    used = peak_reserved(fast, before)
    words = (
        f"{used / 2**20:.0f} MiB, plain {usual / 2**20:.0f}; the graph took {making:.1f} s with what was made before"
    )
    bench.report.tell(name, used / usual, "×", Goal("≤", 0.6) if case.step > 1 else None, words)


def main() -> None:
    """Makes the graphs of one case, by its name."""
    case = next(case for case in (*CASES, *SMALL) if case.name == sys.argv[1])
    both = Forms(case)
    for work in both.works(both.compiled()).values():
        work()
    settled()


if __name__ == "__main__":
    main()
