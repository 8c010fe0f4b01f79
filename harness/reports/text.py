"""What every format of a leaderboard writes: titles, entries, and the reasons of what is missing, as plain text."""

from __future__ import annotations

from harness.reports.aggregate import Spread, TableEntry
from harness.reports.leaderboard import Leaderboard, Row, Section

LEGEND = (
    "Mean over images, then over seeds, ± sample standard deviation over seeds. "
    "In parentheses the difference to the base, paired on images and seeds, ± its own standard deviation over n seeds. "
    "+params: parameters that the refiner adds."
)


def number(value: float, decimals: int, *, sign: bool = False) -> str:
    """A fixed number of decimals; never -0."""
    rounded = round(value, decimals) + 0.0
    return f"{rounded:{'+' if sign else ''}.{decimals}f}"


def entry(found: TableEntry | None, decimals: int) -> str:
    """An entry as text: `24.31 ± 0.05 (+0.52 ± 0.21, n = 8)`, with what must be said of it, or the word for its gap."""
    if found is None:
        return ""
    notes = []
    if found.seeds < found.wanted and found.seeds:
        notes.append(f"{found.seeds} of {found.wanted} seeds")
    if found.infinite and not found.score:
        notes.append("all ∞")
    elif found.left_out:
        notes.append(f"{found.left_out} of {found.images} images left out: ∞")
    if found.score is None:
        return ", ".join(notes) or f"— {found.reason.partition(':')[0] or 'no images'}"
    text = _spread(found.score, decimals)
    if found.delta is not None:
        text += f" ({_spread(found.delta, decimals, sign=True)}, n = {found.delta.count})"
    return f"{text} [{', '.join(notes)}]" if notes else text


def _spread(value: Spread, decimals: int, *, sign: bool = False) -> str:
    """`24.31 ± 0.05`; of a single seed the mean alone."""
    text = number(value.mean, decimals, sign=sign)
    return text if value.deviation is None else f"{text} ± {number(value.deviation, decimals)}"


def header(board: Leaderboard, section: Section) -> list[str]:
    """Column titles of a section's table."""
    protocols = _protocols(section)
    titles = [
        " ".join(filter(None, (board.dataset(column), board.styles[column.metric].title, protocols[column.protocol])))
        for column in section.columns
    ]
    return ["backbone", "variant", "+params", *titles]


def _protocols(section: Section) -> dict[str, str]:
    """What a column's title says of its protocol: nothing when the section has only one, else its name; and its
    version where two versions stand beside each other.
    """
    labels = list(dict.fromkeys(column.protocol for column in section.columns))
    names = [label.partition("/")[0] for label in labels]
    if len(labels) < 2:
        return dict.fromkeys(labels, "")
    return {label: f"[{name if names.count(name) == 1 else label}]" for label, name in zip(labels, names, strict=True)}


def cells(board: Leaderboard, section: Section, row: Row) -> list[str]:
    """One line of a section's table."""
    added = "" if row.added_parameters is None else f"{row.added_parameters:,}"
    entries = [entry(row.entries.get(column), board.styles[column.metric].decimals) for column in section.columns]
    return [row.backbone, row.variant, added, *entries]


def title(section: Section) -> str:
    """The task, and the protocols that its images are scored under."""
    return f"{section.task} · {', '.join(dict.fromkeys(column.protocol for column in section.columns))}"


def notes(board: Leaderboard) -> list[str]:
    """What must be said of the whole table; then why entries are missing, a line per row. Lines that say the same of
    several rows are one.
    """
    rows: dict[str, list[str]] = {}
    for section in board.sections:
        for row in section.rows:
            for reason in dict.fromkeys(found.reason for found in row.entries.values() if found.reason):
                rows.setdefault(reason, []).append(_name(section, row))
    return [*board.warnings, *(f"{', '.join(names)}: {reason}" for reason, names in rows.items())]


def _name(section: Section, row: Row) -> str:
    return " ".join(dict.fromkeys((section.task, row.backbone, row.variant)))
