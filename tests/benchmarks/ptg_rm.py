"""PTG-RM in its forms: by its definitions, lean, as it chooses itself, and under torch.compile; same weights.

`python -m tests.benchmarks.ptg_rm [ROUNDS] [THREADS...] [--compile]`, on a GPU where there is one. All forms take their
turn in every round; a ratio is the median over rounds of how many times as fast as the definitions a form is. Memory on
a CPU is the peak of what PyTorch's allocator handed out during one training step, weights and inputs apart, as the
profiler reports each allocation: the same on every run, and blind to the process's other memory and to scratch space
that oneDNN takes for itself. On a GPU it is torch.cuda.max_memory_allocated, likewise. `--compile` takes minutes on a
CPU; on a GPU its graphs are CUDA graphs.

Measured on one thread of an AMD EPYC with AVX2 (2 cores, a virtual machine, busy with other work), torch 2.14.1,
medians of 9 rounds; up to 2x64x64 the definitions are chosen, so that what differs from 1 there is noise and what the
dynamic filter gains:

                forward       step          step's memory
    1x64x64     lean 1.01x    lean 0.71x    lean 0.69x    chosen: forward 1.01x, step 0.96x
    2x64x64     lean 1.14x    lean 0.83x    lean 0.53x    chosen: forward 0.93x, step 1.03x
    8x64x64     chosen 1.42x  chosen 1.22x  chosen 0.43x
    8x128x128   chosen 1.47x  chosen 1.33x  chosen 0.44x
    2x256x256   chosen 1.37x  chosen 1.33x  chosen 0.44x
    1x400x600   chosen 1.40x  chosen 1.32x  chosen 0.45x

No GPU has been measured, and no graph on a CPU.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from harness.parts.ops import forms
from harness.parts.ops.forms import Form
from harness.parts.refiners.ptg_rm.refiner import PTGRM

SIZES = ((1, 64, 64), (2, 64, 64), (8, 64, 64), (8, 128, 128), (2, 256, 256), (1, 400, 600))
DIM = 512
FORMS: Mapping[str, Form | None] = {"plain": "plain", "lean": "lean", "chosen": None}

Run = Callable[[], None]


def inputs(size: tuple[int, int, int], device: str) -> tuple[Tensor, Tensor, Tensor]:
    """I_d, Î as a backbone gives it in joint training, with gradient, and g."""
    batch, height, width = size
    lq, initial = torch.rand(2, batch, 3, height, width, device=device)
    prior = nn.functional.normalize(torch.randn(batch, DIM, device=device), dim=1)
    return lq, initial.requires_grad_(), prior


def forward(network: nn.Module, given: tuple[Tensor, ...], form: Form | None = None) -> None:
    with torch.no_grad(), forms.using(form):
        network(*given)


def step(network: nn.Module, given: tuple[Tensor, ...], form: Form | None = None) -> None:
    network.zero_grad()
    with forms.using(form):
        network(*given).square().mean().backward()


def seconds(run: Run, device: str) -> float:
    """On one CPU thread processor time, which other work on the machine disturbs least; else time on the wall."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def side_by_side(runs: Mapping[str, Run], rounds: int, device: str) -> dict[str, tuple[float, float]]:
    """How many times as fast as the first each is, the median over rounds, and its median seconds."""
    for warm_up in runs.values():
        warm_up()
        warm_up()
    taken = {name: [] for name in runs}  # type: dict[str, list[float]]
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(seconds(run, device))
    slow = next(iter(taken.values()))
    return {
        name: (statistics.median(a / b for a, b in zip(slow, fast, strict=True)), statistics.median(fast))
        for name, fast in taken.items()
    }


def peak_bytes(run: Callable[[], None], device: str) -> int:
    """Most memory handed out at one time while it runs, beyond what was before."""
    run()
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        run()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    changes = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def main(rounds: int = 5, threads: tuple[int, ...] = (1,), compiled: bool = False) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network = PTGRM(DIM).to(device)
    mode = "reduce-overhead" if device == "cuda" else "default"
    graph = cast(nn.Module, torch.compile(network, dynamic=False, mode=mode))
    before = torch.get_num_threads()
    for count in threads:
        torch.set_num_threads(count)
        print(f"PTG-RM against its definitions, {device}, {count} threads (goal on a CPU: chosen never below 1x)")
        for size in SIZES:
            given = inputs(size, device)
            print("  {}x{}x{}".format(*size), flush=True)
            for what in (forward, step):
                runs: dict[str, Run] = {name: partial(what, network, given, form) for name, form in FORMS.items()}
                if compiled:
                    runs["compiled"] = partial(what, graph, given)
                found = side_by_side(runs, rounds, device)
                told = [f"{name} {times:.2f}x ({1e3 * took:.1f} ms)" for name, (times, took) in found.items()]
                print(f"    {what.__name__:8}" + ", ".join(told), flush=True)
            peaks = {name: peak_bytes(run, device) for name, run in runs.items()}
            told = [f"{name} {peak / peaks['plain']:.2f}x ({peak / 2**20:.1f} MiB)" for name, peak in peaks.items()]
            print("    memory  " + ", ".join(told), flush=True)
    torch.set_num_threads(before)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word != "--compile"]
    main((numbers or [5])[0], tuple(numbers[1:]) or (1,), "--compile" in sys.argv)
