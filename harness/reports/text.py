"""What every format of a leaderboard writes: titles, entries, and the reasons of what is missing, as plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.core.text import shortened
from harness.records.labels import short_names
from harness.reports.aggregate import Spread, TableEntry
from harness.reports.leaderboard import Leaderboard, Row, Section
from harness.reports.rescored import Rescored

LEGEND = (
    "Mean over images, then over seeds, ± sample standard deviation over seeds. "
    "In parentheses the difference to the base, paired on images and seeds, ± its own standard deviation over n seeds. "
    "+params: parameters that the refiner adds."
)


LONGEST_WORD = 30
"""Characters of what stands in the place of a number."""


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """A fixed number of decimals; never -0."""
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if sign else ''}.{decimals}f}"


def entry(found: TableEntry | None, decimals: int) -> str:
    """An entry as text: `24.31 ± 0.05 (+0.52 ± 0.21, n = 8)`, with what must be said of it, or the word for its gap."""
    if found is None:
        return ""
    notes = _notes(found)
    if found.score is None:
        return ", ".join(notes) or f"— {_word(found.reason) or 'no images'}"
    text = _spread(found.score, decimals)
    if found.delta is not None:
        text += f" ({_spread(found.delta, decimals, sign=True)}, n = {found.delta.count})"
    return f"{text} [{', '.join(notes)}]" if notes else text


def _word(reason: str) -> str:
    """The beginning of a reason, for an entry: `shards failed (data)`. The whole of it stands below the table."""
    head = reason.partition(":")[0]
    failed = re.match(r"(\w+)\b.*?\b(failed \(\w+\))", reason)
    if failed and failed[1] != "failed":
        head = f"{failed[1]} {failed[2]}"
    return shortened(head, LONGEST_WORD)


def _notes(found: TableEntry) -> list[str]:
    """What must be said of an entry: seeds that are not on record, or not in the mean, and images that are not."""
    notes = []
    if found.overlap and found.score is not None:
        notes.append("overlap")
    if found.seeds < found.wanted and found.seeds:
        notes.append(f"{found.seeds} of {found.wanted} seeds")
    if found.all_infinite:
        some = f"{found.all_infinite} of {found.seeds} seeds " if found.all_infinite < found.seeds else ""
        notes.append(f"{some}all ∞")
    without = found.seeds - found.all_infinite - found.score.count if found.score else 0
    if without:
        notes.append(f"{without} of {found.seeds} seeds with every image left out: ∞")
    if found.left_out:
        notes.append(f"{found.left_out} of {found.images} images left out: ∞")
    return notes


def _spread(value: Spread, decimals: int, *, sign: bool = False) -> str:
    """`24.31 ± 0.05`; of a single seed the mean alone."""
    text = number(value.mean, decimals, sign=sign)
    return text if value.deviation is None else f"{text} ± {number(value.deviation, decimals)}"


def header(board: Leaderboard, section: Section) -> list[str]:
    """Column titles of a section's table."""
    protocols = _protocols(section)
    titles = [
        (board.dataset(each), board.styles[each.metric].title, protocols[each.protocol, each.protocol_digest])
        for each in section.columns
    ]
    return ["backbone", "variant", "+params", *(" ".join(filter(None, parts)) for parts in titles)]


def _protocols(section: Section) -> Mapping[tuple[str, str], str]:
    """What a column's title says of its protocol, by label and digest: nothing when the section has only one, else its
    name, with more where two share it.
    """
    names = short_names((column.protocol, column.protocol_digest) for column in section.columns)
    return {protocol: f"[{name}]" if len(names) > 1 else "" for protocol, name in names.items()}


def cells(board: Leaderboard, section: Section, row: Row) -> list[str]:
    """One line of a section's table."""
    added = "" if row.added_parameters is None else f"{row.added_parameters:,}"
    entries = [entry(row.entries.get(column), board.styles[column.metric].decimals) for column in section.columns]
    return [row.backbone, row.variant, added, *entries]


def title(board: Leaderboard, section: Section) -> str:
    """The task, and the protocols that its images are scored under."""
    return f"{section.task} · {', '.join(dict.fromkeys(map(board.protocol, section.columns)))}"


def remarks(row: Row) -> list[str]:
    """Of a row, which of its test sets share pictures with what it was trained on, and why entries are missing."""
    overlaps = (found.overlap for found in row.entries.values())
    reasons = (found.reason for found in row.entries.values())
    return list(dict.fromkeys(filter(None, (*overlaps, *reasons))))


def notes(board: Leaderboard) -> list[str]:
    """What must be said of the whole table; then of its entries, a line per row. Lines that say the same of several
    rows are one.
    """
    rows: dict[str, list[str]] = {}
    for section in board.sections:
        for row in section.rows:
            for remark in remarks(row):
                rows.setdefault(remark, []).append(_name(section, row))
    return [*board.warnings, *(f"{', '.join(names)}: {reason}" for reason, names in rows.items())]


def _name(section: Section, row: Row) -> str:
    return " ".join(dict.fromkeys((section.task, row.backbone, row.variant)))


PUBLISHED = "published numbers re-scored"
"""The title of their table."""


def published(board: Leaderboard) -> list[list[str]]:
    """The rows of the table of published numbers, in the order of harness.reports.rescored.TITLES."""
    return [_published(board, each) for each in board.published]


def _published(board: Leaderboard, each: Rescored) -> list[str]:
    style = board.styles[each.metric]
    numbers = [number(each.published, style.decimals)]
    numbers.append("" if each.measured is None else number(each.measured, style.decimals))
    numbers.append("" if each.difference is None else number(each.difference, style.decimals + 1, sign=True))
    return [each.network, each.test, style.title, each.protocol, *numbers, each.verdict, each.source]
