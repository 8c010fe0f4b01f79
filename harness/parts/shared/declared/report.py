"""All that does not fit in a user's copy of a data set, as one error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.core.errors import DataError, Unfit
from harness.core.text import printable
from harness.parts.shared.pictures.pairing import Problem

SHOWN = 20
"""Files of each kind that a report lists."""

KINDS = {
    "place": ("places of the layout are empty", "unpack the rest of the archive: it is half there, or another version"),
    "example": ("folders hold an example and other files", "what each line says"),
    "count": (
        "splits have another number of images or scenes",
        "get the archive again: it is half there, or another version",
    ),
    "folder": ("folders cannot be read", "what each line says"),
    "unreadable": ("files cannot be read", "what each line says"),
    "empty": ("files are empty", "unpack the archive again"),
    "name": ("files have a name that is no text", "unpack the archive again"),
    "unmatched": ("files have a name that is none of the data set's", "see whether they belong there"),
    "twice": ("files have the key of another file", "remove all but one of each key"),
    "case": ("files have a name that differs from another in case only", "remove one of both"),
    "orphan": ("files have no partner", "unpack the archive again, or remove what does not belong there"),
    "same": ("files have the same bytes as the partner", "get them again: one side lies in place of the other"),
    "size": ("files have another size than the partner", "get both again"),
    "pixels": ("files have other channels or bits than the rest", "get them again: they were converted"),
    "values": ("files have numbers of another scale", "what each line says"),
    "array": ("arrays are of another form", "get the file again"),
    "group": ("lists of groups do not fit", "get the file of the list again"),
}
"""Kind of problem: what the report says of the files, and what to do; in the order of the report."""


def report(problems: Sequence[Problem], title: str, root: str) -> DataError:
    """The first files of each kind, how many there are, and what to do. Nothing is prepared of such a folder."""
    counts = Counter(problem.kind for problem in problems)
    total = len({(problem.kind, problem.file) for problem in problems})
    said = "one thing does" if total == 1 else f"{total:,} things do"
    lines = [f"{said} not fit in this copy of {title}, so nothing is prepared"]
    for kind, (what, todo) in KINDS.items():
        chosen = [problem for problem in problems if problem.kind == kind]
        if chosen:
            lines.append(f"  {counts[kind]:,} {_number(what, counts[kind])} (to do: {todo})")
            lines += [f"    {_line(problem)}" for problem in chosen[:SHOWN]]
            lines += [f"    and {counts[kind] - SHOWN:,} more"] if counts[kind] > SHOWN else []
    hint = "correct what the lines name, and call it again: files that are as before are not looked at twice"
    return Unfit(printable("\n".join(lines)), where=root, hint=hint)


_ONE = (
    ("places of the layout are", "place of the layout is"),
    ("splits have", "split has"),
    ("folders cannot", "folder cannot"),
    ("folders hold", "folder holds"),
    ("files cannot", "file cannot"),
    ("files are", "file is"),
    ("files have", "file has"),
    ("arrays are", "array is"),
    ("lists of groups do", "list of groups does"),
)


def _number(what: str, count: int) -> str:
    """The words for one file where there is one."""
    if count == 1:
        for many, one in _ONE:
            what = what.replace(many, one)
    return what


def _line(problem: Problem) -> str:
    """A file with what is wrong with it; a line break in its name is shown as its code."""
    file = problem.file.replace("\n", "\\n").replace("\t", "\\t")
    todo = f" ({problem.todo})" if problem.todo else ""
    return f"{file}{f': {problem.what}' if problem.what else ''}{todo}"
