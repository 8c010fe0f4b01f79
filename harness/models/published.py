"""Published checkpoints in the folder of weights: taken in, once they fit their network, and checked again later."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from harness.core.errors import DataError, HarnessError, MissingWeights, UnknownName
from harness.core.identity import file_sha256, sealed
from harness.core.paths import atomic_file, write_json
from harness.core.registry import Entry, Registry
from harness.models.readings import Found, fill_from
from harness.models.weights import file_digest, load_weights, save_weights
from harness.parts.catalogue import REGISTRY
from harness.parts.shared.formats import is_averaged, read_entries, shown, some
from harness.weights.catalogue import NO_ORIGIN, Checkpoint, Origin, read_origin

REFUSALS = (
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    MemoryError,
)
"""What a network may raise when it is made with options that it was not written for."""


class RefusedOptions(HarnessError):
    """Options with which a network cannot be made."""


@dataclass(frozen=True)
class Imported:
    """Where a file was put, and what is worth saying of it."""

    path: Path
    remarks: tuple[str, ...]


def take_in(file: Path, checkpoint: Checkpoint, *, entry: str = "") -> Imported:
    """Puts a published file into its place: unchanged if a part reads it so, else converted to safetensors.

    Weights of a network must fit the network that the checkpoint names, strictly. They are found beside anything else,
    averaged ones first, or where `entry` says (harness.models.readings). Nothing is left behind when it raises.

    Raises DataError (kind `weights`) for a file that is missing, damaged, not the published one, unsafe to read, made
    for another network or with values that are not finite; UnknownName for an `entry` that it lacks; RefusedOptions for
    options that the network refuses; HarnessError (kind `storage`) when the place cannot be written.
    """
    found = file_digest(file, kind="weights")
    if wrong := checkpoint.digest_problem(found):
        raise DataError(wrong, where=str(file), hint=checkpoint.by_hand, kind="weights")
    if checkpoint.place:
        _refuse_entry(entry, checkpoint)
        with atomic_file(checkpoint.path) as temporary:
            shutil.copyfile(file, temporary)
        return Imported(checkpoint.path, ())
    network, weights = _filled(file, checkpoint, entry)
    origin = Origin(
        id=checkpoint.id,
        part=checkpoint.part,
        options=checkpoint.options,
        licence=checkpoint.licence,
        published_file=file.name,
        published_sha256=found,
        entry=weights.name,
        sha256=save_weights(network, checkpoint.path),
        imported=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        write_json(checkpoint.origin, sealed(origin.content()))
    except HarnessError:
        checkpoint.path.unlink()  # without its JSON it could not be verified
        raise
    remarks = [_said(weights)] if weights.name or weights.left or weights.converted else []
    if not (checkpoint.sha256 or checkpoint.sha256_prefix):
        remarks.append(f"no published SHA-256 is known to compare with; this file's is {found}")
    return Imported(checkpoint.path, tuple(remarks))


def verify(checkpoint: Checkpoint) -> str:
    """Checks what lies in a checkpoint's place, digests and, of a network's, every name and shape; says what was seen.

    Raises MissingWeights when nothing is there, DataError (kind `weights`) where it differs.
    """
    path = checkpoint.path
    if not path.is_file():
        raise MissingWeights("not here", where=checkpoint.id, hint=checkpoint.command)
    if checkpoint.place:
        if wrong := checkpoint.digest_problem(file_sha256(path)):
            raise DataError(wrong, where=str(path), hint=checkpoint.again, kind="weights")
        return "SHA-256 as published" if checkpoint.sha256 else "first digits of the SHA-256 as published"
    origin = read_origin(checkpoint)
    if origin is None:
        raise DataError(NO_ORIGIN, where=str(path), hint=checkpoint.again, kind="weights")
    if (found := file_digest(path, kind="weights")) != origin.sha256:
        what = f"has SHA-256 {found}, expected {origin.sha256}"
        raise DataError(what, where=str(path), hint=checkpoint.again, kind="weights")
    load_weights(build(checkpoint), path, kind="weights")
    return "SHA-256 as converted, every name and shape fits"


def check(file: Path, checkpoint: Checkpoint, *, entry: str = "") -> str:
    """Whether a file could be taken in, without doing so. Raises as `take_in` does."""
    found = file_digest(file, kind="weights")
    if wrong := checkpoint.digest_problem(found):
        raise DataError(wrong, where=str(file), hint=checkpoint.by_hand, kind="weights")
    if checkpoint.place:
        _refuse_entry(entry, checkpoint)
        return "SHA-256 as published"
    _, weights = _filled(file, checkpoint, entry)
    return f"every name and shape fits {checkpoint.taker}; {_said(weights)}; SHA-256 {found}"


def _filled(file: Path, checkpoint: Checkpoint, entry: str) -> tuple[nn.Module, Found]:
    """The network with the weights of a file, and where in the file they were."""
    entries = read_entries(file, kind="weights")
    network = build(checkpoint)
    try:
        return network, fill_from(network, entries, where=str(file), entry=entry, kind="weights")
    except DataError as error:
        hint = "; ".join(filter(None, (error.hint, checkpoint.note)))
        raise DataError(error.what, where=error.where, hint=hint, kind="weights") from error


def _refuse_entry(entry: str, checkpoint: Checkpoint) -> None:
    if entry:
        raise UnknownName(f"{checkpoint.id} is kept as it is published, whole", hint="leave --entry out")


def _said(weights: Found) -> str:
    """What was taken of a file, and what was not."""
    kind = ", an average" if is_averaged(weights.name) else ""
    more = f" and {len(weights.left) - 8} more" if len(weights.left) > 8 else ""
    left = f"; left {', '.join(weights.left[:8])}{more}" if weights.left else ""
    formats = f"; converted from {some(weights.converted)} to float32" if weights.converted else ""
    return f"took {shown(weights.name) or 'the names without a leading part'}{kind}{left}{formats}"


def build(checkpoint: Checkpoint) -> nn.Module:
    """The network that a checkpoint is for, with fresh weights. Raises RefusedOptions where its options make none."""
    if checkpoint.network:
        entry = Entry("network", checkpoint.id, checkpoint.network)
        maker = Registry([entry]).load(entry.kind, entry.name)
    else:
        maker = REGISTRY.load(*checkpoint.part.split(" "))
    try:
        with torch.random.fork_rng(devices=[]):
            network: nn.Module = maker(**checkpoint.options)
    except REFUSALS as error:
        why = shown(" ".join(str(error).split()), 400) or type(error).__name__
        what = f"{checkpoint.taker} cannot be made: {why}"
        raise RefusedOptions(what, where=checkpoint.id, hint="other options", kind="weights") from error
    except MissingWeights:
        raise
    except HarnessError as error:
        raise RefusedOptions(error.what, where=error.where, hint=error.hint, kind="weights") from error
    return network
