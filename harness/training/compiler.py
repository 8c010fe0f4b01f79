"""torch.compile in a process that runs many jobs: where it keeps what it makes, its settings, and its end.

What is made for one cell serves all later ones of its kind, in any process of the machine: it lies beside the results.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

from harness.core.identity import digest
from harness.core.paths import COMPILED, Layout
from harness.storage.copies import copy_at

_MOST = 8
_FOLDERS = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
_GENERATED = "torch._inductor.runtime.compile_tasks."
"""How the names of modules begin that the compiler has written."""

_open = 0
"""How many trainings of this process compile now: they may take turns, step by step."""
_settings = ExitStack()


def compiled_folder(layout: Layout) -> Path:
    """Where this machine keeps compiled graphs of a folder of results; beside the working copy of one on a store.

    Code for a processor is made for the very one that makes it, and machines may share the results: each kind has a
    folder of its own.
    """
    copy = copy_at(layout.out)
    root = layout.compiled if copy is None else copy.root / COMPILED
    return root / digest([torch.__version__, platform.python_version(), *_processor()], 12)


def compiling_threads(device: torch.device, cpus: int) -> int:
    """With how many threads or processes graphs are made: a job's own, and for a GPU, whose graphs have hundreds of
    kernels, some more of the machine's for that minute."""
    return max(cpus, min(_MOST, len(os.sched_getaffinity(0)))) if device.type == "cuda" else cpus


@contextmanager
def compiler(folder: Path, threads: int) -> Iterator[None]:
    """Inside, torch.compile makes whole graphs with the random numbers of the code as written, and keeps them in a
    folder. `threads`: with how many it compiles.

    Blocks may overlap in any order; when the last one ends, the process is as it was before the first, and holds
    nothing of what was compiled.
    """
    global _open
    if not _open:
        _begin(folder, threads)
    _open += 1
    try:
        yield
    finally:
        _open -= 1
        if not _open:
            _end()


def _begin(folder: Path, threads: int) -> None:
    before = {name: os.environ.get(name) for name in _FOLDERS}  # importing Inductor sets one
    import torch._dynamo.config
    import torch._inductor.config

    _settings.callback(_restore, before)
    _settings.callback(sys.setrecursionlimit, sys.getrecursionlimit())  # Inductor raises it
    os.environ[_FOLDERS[0]] = str(folder)
    os.environ.pop(_FOLDERS[1], None)  # it lies below the other, unless something says otherwise
    # DDP's buckets would cut the graph. Its gradients are exchanged once the whole graph has given them.
    _settings.enter_context(torch._dynamo.config.patch(optimize_ddp=False))
    # As torch.use_deterministic_algorithms sets it: what is tried out on a GPU may be chosen otherwise next time.
    fixed = torch.get_deterministic_debug_mode() == 2
    # The compiler's own random numbers are others than the part draws when it runs as it is written.
    _settings.enter_context(
        torch._inductor.config.patch(fallback_random=True, compile_threads=threads, deterministic=fixed)
    )


def _end() -> None:
    import torch._dynamo
    import torch._inductor.async_compile
    import torch._inductor.utils

    torch._inductor.async_compile.shutdown_compile_workers()
    torch._dynamo.reset()
    torch._inductor.utils.clear_caches()
    for name in [name for name in sys.modules if name.startswith(_GENERATED)]:
        del sys.modules[name]
    _settings.close()


def _restore(before: dict[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _processor() -> tuple[str, ...]:
    """What tells processors apart by the instructions that they know."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines)}
        if flags := told.get("flags") or told.get("Features"):
            return told.get("model name", ""), flags
    return platform.machine(), platform.processor()
