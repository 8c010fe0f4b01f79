"""The suites that were run into a folder of results, as they were when they ran."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from harness.cells.cell import WHOLE_IMAGES
from harness.cells.suite import ResolvedSuite
from harness.core.errors import DataError, UnknownName
from harness.core.garbage import seldom_collected
from harness.core.identity import json_text, sealed, unsealed
from harness.core.paths import Layout, storage_error, unread, write_bytes
from harness.storage.copies import shown_place


def suite_files(layout: Layout) -> list[Path]:
    """The files of the stored suites, sorted by name; none when there is no such folder."""
    return sorted(layout.suite("*").parent.glob("*.json"))


@seldom_collected()
def read_suite_file(path: Path) -> ResolvedSuite:
    """One stored suite, under the name of its file. Raises DataError when it cannot be read as a suite."""
    try:
        found = suite_in(path.read_bytes())
        return found if found.name == path.stem else found.model_copy(update={"name": path.stem})
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot be read as a suite: {_wrong(error)}", where=str(path), hint="bench run SUITE again"
        ) from error


def suite_in(text: bytes) -> ResolvedSuite:
    """The suite that a stored file holds. Without a seal, as earlier releases wrote it, it is believed.

    Raises ValueError when it is none, or not the one that was sealed.
    """
    if not text.lstrip().startswith(b"{"):
        return ResolvedSuite.model_validate_json(text)  # which says what is wrong
    return ResolvedSuite.model_validate_json(json.dumps(unsealed(text).content))


def _wrong(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return unread(error)
    if not isinstance(error, ValidationError):
        return "it is not JSON, or not all of it" if isinstance(error, json.JSONDecodeError) else str(error)
    if error.errors()[0]["type"] == "json_invalid":
        return "it is not JSON, or not all of it"
    return "1 field is wrong" if error.error_count() == 1 else f"{error.error_count()} fields are wrong"


@dataclass(frozen=True)
class StoredSuites:
    """The suites of a folder that can be read, sorted by name, and a line on each of the others."""

    suites: tuple[ResolvedSuite, ...]
    problems: tuple[str, ...]


def read_suites(layout: Layout) -> StoredSuites:
    """All stored suites. Raises UnknownName when there is none, DataError when none can be read."""
    paths = suite_files(layout)
    if not paths:
        raise UnknownName("no suite has been run here", where=shown_place(layout.out), hint="bench run SUITE --out DIR")
    suites: list[ResolvedSuite] = []
    errors: list[DataError] = []
    for path in paths:
        try:
            suites.append(read_suite_file(path))
        except DataError as error:
            errors.append(error)
    if not suites:
        raise errors[0]
    return StoredSuites(tuple(suites), tuple(f"{error.where}: {error.what}, left out" for error in errors))


def stored_suites(layout: Layout) -> list[ResolvedSuite]:
    """The stored suites that can be read, sorted by name. Raises what `read_suites` does."""
    return list(read_suites(layout).suites)


def kept_as(suite: ResolvedSuite, file: str, layout: Layout) -> ResolvedSuite:
    """A suite under the name that it has in a folder of results, where other suite files may have the same name.

    `file`: where its file lies, links resolved. A stored suite is taken for the same one when it came from the same
    file, edited or not; when it was stored by an earlier release, which did not say where from; when its content is the
    same (a copied file); and when its file is gone and the two have a cell in common (a file that was moved). Any other
    is another suite, and so is one whose cells an earlier release planned (`earlier_namesakes`), as its results would
    be hidden: this one is then called `<name>~2`, `<name>~3`, ….
    """
    placed = suite.model_copy(update={"file": file})
    of_file = next((path.stem for path in _namesakes(suite.name, layout) if _is_of_file(path, file)), None)
    if of_file is not None:
        return placed.model_copy(update={"name": of_file})
    known = {path.stem: _stored(path) for path in _namesakes(suite.name, layout)}
    for same in (_same_file, _of_an_earlier_release, _same_content, _moved):
        for name, stored in known.items():
            if stored is not None and not is_earlier(stored) and same(placed, stored):
                return placed.model_copy(update={"name": name})
    number, name = 1, suite.name
    while known.get(name) is not None:
        number += 1
        name = f"{suite.name}~{number}"
    return placed.model_copy(update={"name": name})


def is_earlier(suite: ResolvedSuite) -> bool:
    """Whether cells of a stored suite are of an earlier release: no run replaces it (harness.results.earlier)."""
    return any(each.cell.is_earlier for each in suite.cells)


def earlier_namesakes(name: str, layout: Layout) -> list[str]:
    """The stored suites of an earlier release beside which a suite of this name, or `<name>~2`, … , was run."""
    plain = re.sub(r"~\d+$", "", name)
    stored = {path.stem: _stored(path) for path in _namesakes(plain, layout) if path.stem != name}
    return [each for each, suite in stored.items() if suite is not None and is_earlier(suite)]


def keep_suite(suite: ResolvedSuite, layout: Layout) -> None:
    """Writes a resolved suite beside its results. What lies there and cannot be read is renamed, not overwritten.

    Raises HarnessError when the folder cannot be written.
    """
    path, content = layout.suite(suite.name), from_json(suite.model_dump_json())
    if _holds(path, content):
        return
    if os.path.lexists(path) and _stored(path) is None:
        number = 1
        while os.path.lexists(aside := path.with_name(f"{path.name}.damaged-{number}")):
            number += 1
        try:
            os.rename(path, aside)
        except OSError as error:
            raise storage_error(error, path) from error
    write_bytes(path, json_text(sealed(content)).encode())


def _holds(path: Path, content: dict[str, Any]) -> bool:
    """Whether a file is sound, sealed, and holds that content."""
    try:
        found = unsealed(path.read_bytes())
    except (OSError, ValueError):
        return False
    return found.bare is None and found.content == content


def _namesakes(name: str, layout: Layout) -> list[Path]:
    """The stored suites of one name: the first, and the numbered ones."""
    numbered = re.compile(re.escape(name) + r"(?:~\d+)?")
    return [path for path in suite_files(layout) if numbered.fullmatch(path.stem)]


def _stored(path: Path) -> ResolvedSuite | None:
    try:
        return read_suite_file(path)
    except DataError:
        return None


def _same_file(suite: ResolvedSuite, stored: ResolvedSuite) -> bool:
    return stored.file == suite.file


def _is_of_file(path: Path, file: str) -> bool:
    """Whether a stored suite of this release came from that file. Only what tells that is looked at: what else is wrong
    with it is seen to when the suite is kept."""
    try:
        stored = from_json(path.read_bytes())
        return bool(stored["file"] == file) and all(each["cell"]["rules"] >= WHOLE_IMAGES for each in stored["cells"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _of_an_earlier_release(suite: ResolvedSuite, stored: ResolvedSuite) -> bool:
    return not stored.file and stored.name == suite.name


def _same_content(suite: ResolvedSuite, stored: ResolvedSuite) -> bool:
    named = {"name": suite.name, "file": suite.file, "description": suite.description}
    return stored.model_copy(update=named) == suite


def _moved(suite: ResolvedSuite, stored: ResolvedSuite) -> bool:
    gone = not stored.file.startswith("shipped:") and not os.path.exists(stored.file)
    return gone and not {each.cell.id for each in suite.cells}.isdisjoint(each.cell.id for each in stored.cells)
