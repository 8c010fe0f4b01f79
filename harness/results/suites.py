"""The suites that were run into a folder of results, as they were when they ran."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.cells.suite import ResolvedSuite
from harness.core.errors import DataError, UnknownName
from harness.core.identity import json_text, sealed, unsealed
from harness.core.paths import Layout, storage_error, unread, write_bytes


def suite_files(layout: Layout) -> list[Path]:
    """The files of the stored suites, sorted by name; none when there is no such folder."""
    return sorted(layout.suite("*").parent.glob("*.json"))


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
        raise UnknownName("no suite has been run here", where=str(layout.out), hint="bench run SUITE --out DIR")
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
    stored = {path.stem: _stored(path) for path in _namesakes(plain, layout)}
    return [each for each, suite in stored.items() if each != name and suite is not None and is_earlier(suite)]


def keep_suite(suite: ResolvedSuite, layout: Layout) -> None:
    """Writes a resolved suite beside its results. What lies there and cannot be read is renamed, not overwritten.

    Raises HarnessError when the folder cannot be written.
    """
    path, content = layout.suite(suite.name), json_text(sealed(json.loads(suite.model_dump_json()))).encode()
    if os.path.lexists(path) and _stored(path) is None:
        number = 1
        while os.path.lexists(aside := path.with_name(f"{path.name}.damaged-{number}")):
            number += 1
        try:
            os.rename(path, aside)
        except OSError as error:
            raise storage_error(error, path) from error
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


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


def _of_an_earlier_release(suite: ResolvedSuite, stored: ResolvedSuite) -> bool:
    return not stored.file and stored.name == suite.name


def _same_content(suite: ResolvedSuite, stored: ResolvedSuite) -> bool:
    named = {"name": suite.name, "file": suite.file, "description": suite.description}
    return stored.model_copy(update=named) == suite


def _moved(suite: ResolvedSuite, stored: ResolvedSuite) -> bool:
    gone = not stored.file.startswith("shipped:") and not os.path.exists(stored.file)
    return gone and not {each.cell.id for each in suite.cells}.isdisjoint(each.cell.id for each in stored.cells)
