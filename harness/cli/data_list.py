"""`bench data list`: the prepared sets of data folders and of the library."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from harness.api.library import DATASETS, library, read_note
from harness.api.sets import PreparedSet
from harness.cli.clean import size
from harness.cli.data_common import FolderOption, Form, FormOption, data_folder
from harness.cli.tables import print_table
from harness.core.errors import DataError

COLUMNS = ("set", "split", "samples", "images", "size", "digest", "use", "folder")


def list_(folder: FolderOption = None, form: FormOption = Form.table) -> None:
    """List the prepared sets, those of the library too: splits, images, sizes, digests, and what is in use.

    `use` says `in use` of what suites find under the name of a data set of the field, `example` of photographs in its
    place, and `link` of what lies in the library.
    """
    from harness.api.sets import SETS
    from harness.data.manifest import MANIFEST

    rows: list[dict[str, Any]] = []
    for place in _places(folder):
        used = _in_use(place)
        paths = sorted((place / SETS).glob(f"[!.]*/[!.]*/{MANIFEST}"))
        rows += [_told(path.parent, used) for path in paths]
        gone = [path for path in sorted((place / SETS).glob("[!.]*/[!.]*")) if path.is_symlink() and not path.exists()]
        rows += [{**_named(path, used), "problem": f"a link to {os.readlink(path)}, which is gone"} for path in gone]
    if form is Form.json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        typer.echo("no set has been prepared here yet", err=True)
        return
    texts = [row | _texts(row) for row in rows]
    texts = sorted(texts, key=lambda text: str(text["folder"]))
    print_table(COLUMNS, ([str(text[name]) for name in COLUMNS] for text in texts))


def _places(folder: Path | None) -> list[Path]:
    """The data folder that is named, or those in results/ and the library."""
    if folder is not None or os.environ.get("PRIORBENCH_DATA"):
        return [data_folder(folder)]
    return [*sorted(Path("results").glob("*/data")), library()]


def _in_use(place: Path) -> set[Path]:
    """The folders of the splits that notes of a library name; those of a damaged note are told, and not among them."""
    found: set[Path] = set()
    for file in sorted((place / DATASETS).glob("[!.]*.json")):
        try:
            note = read_note(file.stem, place)
        except DataError as error:
            typer.echo(f"warning: {error}", err=True)
            continue
        if note is not None:
            found |= {PreparedSet(dataset=note.dataset, split=split).folder(place) for split in note.splits}
    return found


def _named(folder: Path, used: set[Path]) -> dict[str, Any]:
    linked = folder.is_symlink()
    return {
        "set": folder.parent.name, "split": folder.name, "folder": str(folder), "linked": linked,
        "in_use": folder in used,
    }  # fmt: skip


def _told(folder: Path, used: set[Path]) -> dict[str, Any]:
    """What the list says of a split; of one that cannot be read, the `problem`."""
    from harness.data.exchange import is_pulled
    from harness.data.manifest import read_manifest

    row = _named(folder, used)
    try:
        manifest, sha256 = read_manifest(folder)
        pulled = is_pulled(folder)
    except DataError as error:
        return row | {"problem": error.what}
    row |= {"samples": manifest.samples, "images": manifest.images, "bytes": manifest.bytes}
    row |= {"example": manifest.set.dataset.is_example}
    return row | {"skipped": len(manifest.skipped), "sha256": sha256, "pulled": pulled}


def _texts(row: dict[str, Any]) -> dict[str, str]:
    """The columns that a row has other words for in a table."""
    marks = {"in use": row["in_use"], "example": row.get("example"), "pulled": row.get("pulled"), "link": row["linked"]}
    use = ", ".join(word for word, holds in marks.items() if holds)
    if "problem" in row:
        return {**dict.fromkeys(("samples", "images", "size"), "?"), "digest": row["problem"], "use": use}
    return {"size": size(row["bytes"]), "digest": row["sha256"][:12], "use": use}
