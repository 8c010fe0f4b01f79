"""`bench data add`: looks at a user's folders of pictures, and writes the data set for suites to include."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.api.asking import opened
from harness.cli.common import write_new
from harness.cli.exits import WrongArgument
from harness.cli.new_suite import quoted
from harness.core.names import unfit_name
from harness.parts.catalogue import REGISTRY

PlaceOption = Annotated[str | None, typer.Option(metavar="DIR", help="A folder, or a pattern in quotes.")]


class Pairing(StrEnum):
    """Which pictures belong together."""

    stem = "stem"
    name = "name"
    none = "none"


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How tables call the data set.")],
    gt: Annotated[str, typer.Option(metavar="DIR", help="The clean pictures: a folder, or a pattern in quotes.")],
    lq: Annotated[
        str | None, typer.Option(metavar="DIR", help="The degraded ones. Default: the task makes them.")
    ] = None,
    test_gt: PlaceOption = None,
    test_lq: PlaceOption = None,
    pair: Annotated[
        Pairing, typer.Option(help="What makes a pair: the name without its ending, or with it.")
    ] = Pairing.stem,
    pair_lq: Annotated[str | None, typer.Option(metavar="REGEX", help="Its groups, in the names of --lq, …")] = None,
    pair_gt: Annotated[
        str | None, typer.Option(metavar="REGEX", help="… are those of this, in --gt, of a pair.")
    ] = None,
    scene: Annotated[str | None, typer.Option(metavar="REGEX", help="Its groups, in a name, are the scene.")] = None,
    holdout: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the scenes to test on, without --test-gt.")
    ] = 0.1,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A file to leave out. May be repeated.")
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write. Default: NAME.yaml.")] = None,
) -> None:
    """Look at all the pictures of folders, and write the data set for suites to include.

    Whatever does not fit is one report, and nothing is written then.
    """
    if unfit := unfit_name(name):
        raise WrongArgument(unfit, where="NAME")
    if (pair_lq is None) != (pair_gt is None):
        raise WrongArgument("--pair-lq and --pair-gt belong together", where="--pair-lq")
    file = to if to is not None else Path(f"{name}.yaml")
    if not file.parent.is_dir():
        raise WrongArgument(
            "there is no such folder", where=str(file.parent), hint="make it first, or --to FILE elsewhere"
        )
    if os.path.lexists(file):
        raise WrongArgument("this file exists already", where=str(file), hint="--to ANOTHER.yaml")
    places = {"gt": gt, "lq": lq, "test_gt": test_gt, "test_lq": test_lq}
    for side, place in places.items():
        if place is not None and not place.strip():
            raise WrongArgument(
                "no folder is named", where=f"--{side.replace('_', '-')}", hint="a folder, or a pattern"
            )
    options: dict[str, Any] = {
        "pair": pair.value if pair_lq is None else {"lq": pair_lq, "gt": pair_gt},
        "scene": scene,
        "holdout": holdout,
        "skip": tuple(skip or ()),
    }
    given = {side: None if place is None else _absolute(place) for side, place in places.items()}
    try:
        dataset: Any = opened(REGISTRY, "folder", given | options)
    except ValueError as error:
        raise WrongArgument(str(error), where="bench data add", hint="bench data add --help") from error
    dataset.check_all()
    counts = [f"{len(dataset.keys(split))} to {split}" for split in dataset.splits()]
    left_out = {left for split in dataset.splits() for left, _ in dataset.skipped(split)}
    text = _mapping(name, {k: v and _beside(v, file) for k, v in given.items()} | options)
    write_new(file, text)
    typer.echo(f"{file}: {', '.join(counts)}{f', {len(left_out)} left out' if left_out else ''}")
    typer.echo(text, nl=False)
    typer.echo(
        f"  use it:  include: [{quoted(str(file))}] at the top of a suite, whose blocks then name no other dataset"
    )


def _absolute(place: str) -> str:
    return os.path.normpath(os.path.join(os.getcwd(), os.path.expanduser(place)))


def _beside(place: str, file: Path) -> str:
    """A path as the file should have it: relative where it lies below the file's folder, so that both can be moved."""
    folder = os.path.dirname(os.path.abspath(file))
    return os.path.relpath(place, folder) if place.startswith(f"{folder}{os.sep}") else place


def _mapping(name: str, options: dict[str, Any]) -> str:
    """The data set as a file that suites include. What is as by default is left out."""
    usual = {"pair": "stem", "holdout": 0.1, "skip": ()}
    lines = ["defaults:", "  dataset:", "    name: folder", f"    label: {quoted(name)}"]
    for option, value in options.items():
        if value is None or value == usual.get(option):
            continue
        lines.append(f"    {option}: {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {quoted(text)}" for key, text in value.items()) + "}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(quoted, value))}]"
    return quoted(value) if isinstance(value, str) else f"{value:g}"
