"""The files of weights that a part needs, by its traits and options: where they lie, and whether they are sound.

Torch-free: planning asks which are missing, parts ask for their paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.api.traits import OwnFile, Published, Traits, all_hold
from harness.api.weights import WeightFile
from harness.core.errors import DataError, HarnessError, MissingWeights, UnknownName
from harness.core.identity import digest, known_sha256
from harness.weights.catalogue import Checkpoint, find


def published_file(checkpoint: Checkpoint) -> WeightFile:
    """Where a published checkpoint lies, or would lie, on this machine."""
    # Conversion changes the bytes, so the published digest does not hold for a converted file.
    known = (checkpoint.sha256, checkpoint.sha256_prefix) if checkpoint.place else (None, "")
    return WeightFile(checkpoint.id, str(checkpoint.path), checkpoint.command, *known)


def needed_files(traits: Traits, options: Mapping[str, Any], part: str) -> tuple[WeightFile, ...]:
    """The files that a part needs with these options, in the order of its traits; none when it needs none.

    `options`: with defaults filled in; one that is not there is None. `part` names it in messages, e.g. "prior clip".
    Raises HarnessError for options that contradict each other and when no published file is known for them,
    UnknownName for ids that are in no catalogue.
    """
    for conflict in traits.conflicts:
        if all_hold(conflict.when, options):
            what, hint = conflict.told(options)
            raise HarnessError(what, where=part, hint=hint)
    files: list[WeightFile] = []
    for source in traits.weights:
        if isinstance(source, OwnFile):
            files += _own_files(source, options.get(source.option))
        elif all_hold(source.when, options):
            files.append(published_file(_found_for(part, source.id)))
    if not files and any(isinstance(source, Published) for source in traits.weights):
        raise HarnessError(f"no file is known for {_told(traits, options)}", where=part, hint=_known(traits))
    return tuple(files)


def _found_for(part: str, checkpoint_id: str) -> Checkpoint:
    try:
        return find(checkpoint_id)
    except UnknownName as error:
        raise UnknownName(error.what, where=part, hint=error.hint) from None


def missing_files(files: Sequence[WeightFile]) -> list[WeightFile]:
    """Those that are not on this machine."""
    return [file for file in files if not Path(file.path).is_file()]


def said_missing(missing: Sequence[WeightFile]) -> tuple[str, str]:
    """(the names, the commands that get them) of missing files, for messages."""
    return ", ".join(file.name for file in missing), " && ".join(dict.fromkeys(file.fetch for file in missing))


def ready_files(traits: Traits, options: Mapping[str, Any], part: str) -> tuple[Path, ...]:
    """The paths of the files that a part needs, after a check that all are on this machine and have the known digests.

    Raises as `needed_files`, MissingWeights with the command that gets them, DataError (kind `weights`) for a file with
    another digest.
    """
    files = needed_files(traits, options, part)
    if missing := missing_files(files):
        names, fetch = said_missing(missing)
        raise MissingWeights(f"{part} needs {names}", where=missing[0].path, hint=fetch)
    for file in files:
        _verify(file)
    return tuple(Path(file.path) for file in files)


def weights_digest(files: Sequence[WeightFile]) -> str | None:
    """Digest of weight files: the SHA-256 of one file, a digest over those of several; None when one is missing."""
    found = [file.sha256 or found_sha256(file.path) for file in files]
    if not found or None in found:
        return None
    return found[0] if len(found) == 1 else digest(found, 64)


def found_sha256(path: str) -> str | None:
    """SHA-256 of a file; None when there is none that can be read."""
    try:
        return known_sha256(path)
    except OSError:
        return None


def _verify(file: WeightFile) -> None:
    wanted = file.sha256 or file.sha256_prefix
    if not wanted or known_sha256(file.path).startswith(wanted):
        return
    found = known_sha256(file.path)[: len(wanted)]
    whole = "is" if file.sha256 else "begins with"
    raise DataError(
        f"this is not the published file: its SHA-256 {whole} {found}, not {wanted}",
        where=file.path,
        hint=f"remove it and fetch it again: {file.fetch}",
        kind="weights",
    )


def _own_files(source: OwnFile, given: str | None) -> list[WeightFile]:
    """A user's file, or the files of a user's folder."""
    if given is None:
        return []
    place = Path(given).expanduser().absolute()
    if not source.files:
        return [WeightFile(place.name, str(place), f"cp YOUR_COPY '{place}'")]
    fetch = f"cp -r YOUR_COPY '{place}'"
    return [WeightFile(f"{place.name}/{name}", str(place / name), fetch) for name in source.files]


def _told(traits: Traits, options: Mapping[str, Any]) -> str:
    """The options that decide which file is needed, as text for a message."""
    names = dict.fromkeys(
        condition.option for source in traits.weights if isinstance(source, Published) for condition in source.when
    )
    return ", ".join(f"{name}: {options.get(name)}" for name in names)


def _known(traits: Traits) -> str:
    """What could be given instead."""
    known = [source.id for source in traits.weights if isinstance(source, Published)]
    own = [f"{source.option}: FILE" for source in traits.weights if isinstance(source, OwnFile)]
    return " or ".join(filter(None, (f"known are {', '.join(known)}", *own)))
