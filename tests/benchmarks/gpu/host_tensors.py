"""Every backbone under CUDA graph capture, forward and backward: a tensor made on the host, or a wait, breaks it.

On a CPU nothing is captured; the same passes run. A network that fails may leave the GPU unusable for its process, so
they run in one of their own, which is begun anew after it: `python -m tests.benchmarks.gpu.host_tensors FILE NAME…`
writes what came of each to the file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.models.assemble import RestorationModel, build_model
from harness.parts.catalogue import REGISTRY
from harness.recipes.presets import network_presets
from tests.benchmarks.gpu.bench import Bench
from tests.benchmarks.gpu.clock import device, settled
from tests.benchmarks.gpu.finding import Goal
from tests.benchmarks.gpu.processes import ended, started

SIDE, BATCH = 64, 2
WARM_UPS = 3
"""Passes on a stream beside, as PyTorch asks for before a capture."""


def measure(bench: Bench) -> None:
    """Tells which backbones a graph takes, and what stopped the others."""
    waiting = REGISTRY.names("backbone")[: 2 if bench.small else None]
    found: dict[str, str] = {}
    lost = 0
    while waiting and bench.left() > 0 and lost <= len(REGISTRY.names("backbone")):
        file = bench.folder / f"{lost}.jsonl"
        command = [sys.executable, "-m", "tests.benchmarks.gpu.host_tensors", str(file), *waiting]
        process = started(command, bench.folder / "log")
        try:
            process.wait(bench.left())
        finally:
            ended(process)
        told = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        found |= dict(told)
        if len(told) < len(waiting) and not told:
            found[waiting[0]] = f"the process died with exit code {process.returncode}"
        waiting = [name for name in waiting if name not in found]
        lost += 1
    what = "captured" if device().type == "cuda" else "runs (no GPU: nothing is captured)"
    for name, why in found.items():
        bench.report.tell(f"{name} {what}", not why, goal=Goal("=", 1), note=why)
    for name in waiting:
        bench.report.skip(f"{name} {what}", "no time was left")


def network(name: str) -> RestorationModel:
    """A backbone as a base cell has it, in the size of its proxy recipe."""
    proxy = network_presets(name).get("proxy")
    backbone = PartRef(name=name, options=dict(proxy.backbone) if proxy else {})
    cell = Cell(task=PartRef(name="low_light"), train=PartRef(name="photos"), backbone=backbone)
    return build_model(cell, REGISTRY, None).to(device()).train()


def passes(model: RestorationModel) -> Callable[[], None]:
    """A function that runs the network and its gradients on images that lie on the device."""
    can = model.capabilities
    side = can.fitting(SIDE)
    lq_BCHW = torch.rand(BATCH, can.channels_in, side, side, device=device())
    truth_BCHW = torch.rand(BATCH, can.channels_out, side, side, device=device()) if model.reads_truth else None

    def run() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        model(lq_BCHW, None, truth_BCHW).final.square().mean().backward()

    return run


def attempt(name: str) -> None:
    """Raises what PyTorch raises where a graph cannot be captured."""
    run = passes(network(name))
    if device().type == "cpu":
        run()
        return
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    graph.replay()
    settled()


def main() -> int:
    """Tries the networks in turn, to the first that fails on a GPU."""
    file, *names = sys.argv[1:]
    for name in names:
        why = ""
        try:
            attempt(name)
        except Exception as error:  # noqa: BLE001 - of any network
            why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([name, why]) + "\n")
        if why and device().type == "cuda":
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
