"""`bench selftest`: trains one small network in every way that a suite may ask for, on this machine, and compares."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import exits

GpusOption = Annotated[int | None, typer.Option("--gpus", min=2, metavar="N", help="N GPUs, one process on each.")]
ProcessesOption = Annotated[
    int | None, typer.Option("--processes", min=2, metavar="N", help="N processes on the CPU; 2 when neither is given.")
]


def selftest(gpus: GpusOption = None, processes: ProcessesOption = None) -> None:
    """Check on this machine that several processes train as one does, that what is killed goes on, and that Ray places
    a gang. Takes some minutes, needs no download, leaves nothing behind. Exit code 1: something does not hold."""
    from harness.scheduling.selftest import Bench, checks  # planning and parts, which `--help` does not need

    if gpus is not None and processes is not None:
        raise exits.WrongArgument("--gpus and --processes are two ways to say the same", hint="bench selftest --gpus 2")
    held = True
    with tempfile.TemporaryDirectory(prefix="selftest-") as folder:
        bench = Bench(Path(folder), gpus or processes or 2, on_gpus=gpus is not None)
        typer.echo(f"{bench.title}; the network is far too small to mean anything")
        for check in checks(bench):
            found = check()
            held = held and found.holds
            typer.echo(str(found))
    typer.echo("all of it holds" if held else "something does not hold: the lines above that say so")
    raise typer.Exit(exits.DONE if held else exits.FAILED)
