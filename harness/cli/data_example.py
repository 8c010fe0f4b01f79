"""`bench data example`: a small tree in the layout of a data set of the field, to try suites before the download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import folder_named
from harness.cli.data_common import NameArgument, PluginOption, field_set, registry_with
from harness.core.paths import PLACE_OPTION


def example(
    name: NameArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", parser=folder_named, help="A new or an empty folder.")],
    layout: Annotated[
        str | None, typer.Option(metavar="LAYOUT", help="One of those that `bench data show NAME` lists.")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Write a small example of a data set of the field, of photographs that ship with the packages.

    Names and formats are the real ones, and so prepare, plan and run take it as they would the download. Tables call
    whatever is trained or tested on it (example).
    """
    registry = registry_with(plugin)
    field_set(name, registry)
    from harness.data.example import write_example  # imports OpenCV

    place = to.expanduser().absolute()
    token = PLACE_OPTION.set("--to")
    try:
        write_example(registry, name, place, layout)
    finally:
        PLACE_OPTION.reset(token)
    count = sum(file.is_file() for file in place.rglob("*")) - 1
    typer.echo(f"{to}: {count} files in the layout of {name}, of photographs that ship with the packages")
    given = "".join(f" --plugin {file}" for file in plugin or [])
    typer.echo(f"  next:  bench data prepare {name}{given} --from {to}")
