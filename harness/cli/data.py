"""`bench data`: takes in a user's folders of pictures, and shows and moves prepared sets."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.api.asking import opened
from harness.cli.clean import size
from harness.cli.common import write_new
from harness.cli.exits import WrongArgument
from harness.cli.new_suite import quoted
from harness.cli.tables import print_table
from harness.core.errors import DataError
from harness.core.paths import unfit_name
from harness.parts.catalogue import REGISTRY

data = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Data sets.")

SetArgument = Annotated[str, typer.Argument(metavar="SET", help="A prepared set, as `bench data list` names it.")]
FolderOption = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="The data folder. Default: $PRIORBENCH_DATA, else those in results/."),
]
PlaceOption = Annotated[str | None, typer.Option(metavar="DIR", help="A folder, or a pattern in quotes.")]


class Pairing(StrEnum):
    """Which pictures belong together."""

    stem = "stem"
    name = "name"
    none = "none"


class Form(StrEnum):
    """How a list is written."""

    table = "table"
    json = "json"


@data.callback()
def _group() -> None:
    """Data sets: take in folders of your own pictures, list prepared sets, bring them to a store and back."""


@data.command()
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


@data.command("list")
def list_(
    folder: FolderOption = None,
    form: Annotated[Form, typer.Option("--format", help="How the list is written.")] = Form.table,
) -> None:
    """List the prepared sets: splits, images, sizes, digests."""
    from harness.api.sets import SETS
    from harness.data.manifest import MANIFEST

    rows: list[dict[str, Any]] = []
    for place in (
        [_data_folder(folder)] if folder or os.environ.get("PRIORBENCH_DATA") else Path("results").glob("*/data")
    ):
        rows += [_told(path.parent) for path in sorted((place / SETS).glob(f"[!.]*/[!.]*/{MANIFEST}"))]
    if form is Form.json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        typer.echo("no set has been prepared here yet", err=True)
        return
    columns = ("set", "split", "samples", "images", "size", "digest", "folder")
    texts = [row | {"size": size(row["bytes"]), "digest": row["sha256"][:12]} for row in rows if "problem" not in row]
    broken = [dict.fromkeys(columns, "?") | row | {"digest": row["problem"]} for row in rows if "problem" in row]
    texts = sorted([*texts, *broken], key=lambda text: str(text["folder"]))
    print_table(columns, ([str(text[name]) for name in columns] for text in texts))


def _told(folder: Path) -> dict[str, Any]:
    """What the list says of a split; of one that cannot be read, the `problem`."""
    from harness.data.exchange import is_pulled
    from harness.data.manifest import read_manifest

    row: dict[str, Any] = {"set": folder.parent.name, "split": folder.name, "folder": str(folder)}
    try:
        manifest, sha256 = read_manifest(folder)
        pulled = is_pulled(folder)
    except DataError as error:
        return row | {"problem": error.what}
    row |= {"samples": manifest.samples, "images": manifest.images, "bytes": manifest.bytes}
    return row | {"skipped": len(manifest.skipped), "sha256": sha256, "pulled": pulled}


@data.command()
def push(
    name: SetArgument,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="A folder, or a place such as s3://bucket/sets.")],
    folder: FolderOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what lies there already, and replace what is damaged.")
    ] = False,
) -> None:
    """Copy a prepared set, with all its splits, to another store. What lies there already is not copied again."""
    from harness.data import exchange

    place = _data_folder(folder)
    for split in exchange.splits_here(place, _set_called(place, name)):
        copied = exchange.push(split, to.rstrip("/"), verify=verify)
        typer.echo(f"{split.parent.name}/{split.name}: {size(copied)} copied to {to}")


@data.command()
def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where sets, a set or a split of one was pushed to.")],
    folder: FolderOption = None,
    limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Keep so much of a split here at most, as 50GB. Default: all.")
    ] = None,
    whole: Annotated[bool, typer.Option("--all", help="Fetch the shards now, not when they are read.")] = False,
) -> None:
    """Make the sets on another store known here. Their shards come when they are read first."""
    from harness.data import exchange
    from harness.data.manifest import read_manifest

    for split in exchange.pull(url.rstrip("/"), _data_folder(folder), limit=None if limit is None else _bytes(limit)):
        fetched = ""
        if whole:
            fetched = f", {exchange.fetch_all(split)} of {len(read_manifest(split)[0].shards)} shards are here"
        typer.echo(f"{split.parent.name}/{split.name}: known in {split}{fetched}")


def _data_folder(given: Path | None) -> Path:
    """The data folder that a command works on."""
    place = given if given is not None else os.environ.get("PRIORBENCH_DATA")
    if not place or not str(place).strip():
        what = "which data folder? there is one for each folder of results, or one for all"
        raise WrongArgument(what, where="--data", hint="--data results/SUITE/data, or set PRIORBENCH_DATA")
    return Path(place).absolute()


def _set_called(place: Path, name: str) -> str:
    """The prepared set of a name, without its digest or with it, or the only one whose name begins so."""
    from harness.api.sets import SETS

    here = sorted(path.name for path in (place / SETS).glob("[!.]*") if path.is_dir())
    fitting = [each for each in here if each == name] or [each for each in here if each.rpartition(".")[0] == name]
    fitting = fitting or [each for each in here if each.startswith(name)]
    if len(fitting) != 1:
        what = f"{len(fitting)} prepared sets are called {name}…" if fitting else f"no prepared set is called {name}"
        raise WrongArgument(what, where=str(place), hint=f"one of {', '.join(fitting or here)}" if here else "")
    return fitting[0]


def _bytes(text: str) -> int:
    """50GB as a number of bytes."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "B": 1}
    unit = next((unit for unit in units if text.upper().endswith(unit)), "")
    try:
        found = round(float(text[: len(text) - len(unit)]) * units.get(unit, 1))
    except (ValueError, OverflowError):
        found = -1
    if found < 0:
        raise WrongArgument(f"{text!r} is no size", where="--limit", hint="as 500MB or 50GB")
    return found


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
