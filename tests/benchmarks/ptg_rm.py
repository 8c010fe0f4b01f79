"""PTG-RM as the harness trains it against the same computation written plainly (tests/reference), same weights.

`python -m tests.benchmarks.ptg_rm [ROUNDS] [THREADS...] [--compile]`. Ratios are medians over rounds in which both take
their turn. Memory on a CPU is the peak of what PyTorch's allocator handed out during one training step, weights and
inputs apart, as the profiler reports each allocation: the same on every run, and blind to the process's other
memory and to scratch space that oneDNN takes for itself. On a GPU it is torch.cuda.max_memory_allocated, likewise.
`--compile` adds a column for our module under torch.compile, against the plain one without: minutes on a CPU.

Measured on one thread of an AMD EPYC with AVX2 (2 cores, a virtual machine), torch 2.14.1, medians of 15 rounds:

    2x256x256   forward 1.62x, step 1.39x, memory 0.45x; compiled: forward 1.93x, step 1.22x
    1x400x600   forward 1.54x, step 1.26x, memory 0.46x
    8x128x128   forward 1.67x, step 1.35x, memory 0.44x

Convolutions bound it: of 407 ms of our step at 2x256x256, oneDNN's take 207 and the widest one, by minimal filtering,
97 (of 125 directly); the plain step is 520 to 570 ms. No GPU has been measured.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from harness.parts.refiners.ptg_rm.refiner import PTGRM
from tests.reference.ptg_rm import PlainPTGRM

SIZES = ((2, 256, 256), (1, 400, 600), (8, 128, 128))
DIM = 512
GOALS = {"cpu": "2x, 1.7x and 0.5x", "cuda": "3x"}


def networks(device: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    ours, plain = PTGRM(DIM), PlainPTGRM(DIM)
    plain.load_state_dict(ours.state_dict())
    return ours.to(device), plain.to(device)


def inputs(size: tuple[int, int, int], device: str) -> tuple[Tensor, Tensor, Tensor]:
    """I_d, Î as a backbone gives it in joint training, with gradient, and g."""
    batch, height, width = size
    lq, initial = torch.rand(2, batch, 3, height, width, device=device)
    prior = nn.functional.normalize(torch.randn(batch, DIM, device=device), dim=1)
    return lq, initial.requires_grad_(), prior


def forward(network: nn.Module, given: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        network(*given)


def step(network: nn.Module, given: tuple[Tensor, ...]) -> None:
    network.zero_grad()
    network(*given).square().mean().backward()


def seconds(run: Callable[[], None], device: str) -> float:
    """On one CPU thread processor time, which other work on the machine disturbs least; else time on the wall."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def ratio(fast: Callable[[], None], slow: Callable[[], None], rounds: int, device: str) -> tuple[float, float]:
    """How many times faster, the median over rounds, and the fast one's median seconds."""
    for warm_up in (fast, slow):
        warm_up()
    pairs = [(seconds(fast, device), seconds(slow, device)) for _ in range(rounds)]
    return statistics.median(slow / fast for fast, slow in pairs), statistics.median(fast for fast, _ in pairs)


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
    ours, plain = networks(device)
    twin = cast(nn.Module, torch.compile(ours, dynamic=False))
    before = torch.get_num_threads()
    for count in threads:
        torch.set_num_threads(count)
        print(f"PTG-RM against the plain computation, {device}, {count} threads (goals {GOALS[device]})")
        for size in SIZES:
            given = inputs(size, device)
            columns = []
            for what in (forward, step):
                for label, fast in (("", ours), (" compiled", twin))[: 1 + compiled]:
                    times, took = ratio(lambda: what(fast, given), lambda: what(plain, given), rounds, device)  # noqa: B023
                    columns.append(f"{what.__name__}{label} {times:.2f}x ({1e3 * took:.0f} ms)")
            used, usual = (peak_bytes(lambda: step(network, given), device) for network in (ours, plain))  # noqa: B023
            columns.append(f"step's peak memory {used / usual:.2f}x ({used / 2**20:.0f} MiB)")
            print("  {}x{}x{}: ".format(*size) + ", ".join(columns), flush=True)
    torch.set_num_threads(before)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word != "--compile"]
    main((numbers or [5])[0], tuple(numbers[1:]) or (1,), "--compile" in sys.argv)
