"""`bench data show NAME`: what is known of a data set of the field, and whether it is prepared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

import typer

from harness.api.dataset import DatasetTraits
from harness.api.library import Note, how_to_prepare, read_note
from harness.api.source import Count, Files, Layout, Source
from harness.cli import exits
from harness.cli.data_common import (
    Form,
    FormOption,
    LibraryOption,
    NameArgument,
    PluginOption,
    field_set,
    library_folder,
    registry_with,
)
from harness.cli.tables import page_width
from harness.core.errors import DataError
from harness.core.text import printable


def show(
    name: NameArgument, folder: LibraryOption = None, plugin: PluginOption = None, form: FormOption = Form.table
) -> int:
    """Show what is known of a data set of the field: page, licence, layouts, splits, protocol, traps."""
    traits, source = field_set(name, registry_with(plugin))
    library = library_folder(folder)
    try:
        note, trouble = read_note(name, library), ""
    except DataError as error:
        note, trouble = None, error.what
    if form is Form.json:
        told = {"name": name, "licence": traits.licence, "pairs": traits.pairs is not False, **asdict(source)}
        prepared = None if note is None else note.model_dump(mode="json")
        typer.echo(json.dumps(told | {"prepared": prepared}, indent=1, ensure_ascii=False))
        return exits.DONE
    for line in _lines(name, traits, source):
        typer.echo(line)
    typer.echo(_prepared(name, note, trouble, library))
    return exits.DONE


def _lines(name: str, traits: DatasetTraits, source: Source) -> Iterator[str]:
    yield f"{name}: {source.title}, {source.size}"
    yield from _said("page", source.page)
    yield from _said("licence", traits.licence)
    yield from _said("citation", source.citation)
    yield from _said("for", f"{', '.join(source.tasks)}; scored by {source.protocol}{_average(source)}")
    for split in source.splits():
        count = source.counts.get(split)
        known = "how many is not known" if count is None else _count(count)
        yield from _said(split, known)
    if source.resize is not None:
        yield from _said("training", f"the field resizes its images to {source.resize[0]}×{source.resize[1]} (h×w)")
    for layout in source.layouts:
        yield ""
        yield from _layout(layout)
    if source.traps:
        yield ""
    for trap in source.traps:
        yield from _said("trap", trap)
    for shared in source.shared:
        yield from _said("overlap", f"{shared.why} ({shared.split} with {shared.other}/{shared.other_split})")
    yield ""


def _average(source: Source) -> str:
    return f"; in the mean {source.average}" if source.average else ""


def _count(count: Count) -> str:
    also = f"; other copies have {', '.join(f'{number:,}' for number in count.also)}" if count.also else ""
    known = [f"{number:,} {unit}" for number, unit in ((count.images, "samples"), (count.scenes, "scenes")) if number]
    return f"{', '.join(known)}{'' if count.sure else ' (not sure: another number is a warning)'}{also}"


def _layout(layout: Layout) -> Iterator[str]:
    inside = f", also inside {', '.join(layout.inside)}" if layout.inside else ""
    yield from _said("layout", f"{layout.name}: {layout.of}{inside}")
    for split, files in layout.splits.items():
        for side, patterns in (("degraded", files.lq), ("clean", files.gt)):
            if patterns:
                yield from _said(f"  {split}", f"{side} {' '.join(patterns)}")
        if rules := "; ".join(_rules(files)):
            yield from _said("", rules)


def _rules(files: Files) -> Iterator[str]:
    """How the files of a split belong together, in a few words each; what is usual is not said."""
    if isinstance(files.pair, tuple):
        yield f"pairs: equal groups of {files.pair[0]} and {files.pair[1]}"
    elif files.gt and files.lq and files.pair != "stem":
        yield f"pairs: by {files.pair}"
    said = {
        "left and right view as six channels": files.views,
        f"scenes: {files.scene}": files.scene,
        f"only {files.only}": files.only,
        f"without {files.without}": files.without,
        f"scenes {', '.join(files.scenes)} only": files.scenes,
        f"all scenes but {', '.join(files.not_scenes)}": files.not_scenes,
        "of several clean files the first by name": files.first_gt,
        f"the first {files.frames} frames of a folder": files.frames is not None,
        f"groups: {', '.join(group.name for group in files.groups)}": files.groups,
        f"read as {files.reader}": files.reader != "picture",
        f"read with {files.bits} bits": files.bits is not None,
        "read in gray": files.gray,
    }
    yield from (words for words, holds in said.items() if holds)


def _said(word: str, text: str) -> list[str]:
    return wrap(printable(text), page_width(), initial_indent=f"{word:10} ", subsequent_indent=" " * 11,
                break_long_words=False, break_on_hyphens=False) or [word]  # fmt: skip


def _prepared(name: str, note: Note | None, trouble: str, library: Path) -> str:
    if note is None:
        why = f" ({trouble})" if trouble else ""
        return f"not prepared in {library}{why}: {how_to_prepare(name)}"
    counts: dict[str, Any] = note.splits
    text = ", ".join(f"{number:,} {split}" for split, number in counts.items())
    layout = f", {note.layout} layout" if note.layout else ""
    told = f"{note.dataset.called} is prepared: {text}{layout}, in {library}"
    return "\n".join([told, *(f"warning: {each}" for each in note.warnings)])
