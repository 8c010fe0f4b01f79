"""Whether the files of weights that a job reads are still those that its cell's id stands for."""

from __future__ import annotations

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.core.errors import DataError
from harness.core.registry import Registry
from harness.planning.job import EvaluateWork, ScoresWork, Work
from harness.planning.missing import needs
from harness.weights.files import needed_files, weights_digest


def check_files(work: Work, registry: Registry) -> None:
    """Raises DataError (kind `weights`) when a part's file was changed since the suite was read.

    Files that are missing are told of by the part itself, published ones are compared with their known digest there.
    """
    parts = needs(work)
    of = work.of if isinstance(work, ScoresWork) else work
    if isinstance(of, EvaluateWork):
        parts += [("metric", metric.part) for metric in of.metrics]
    for kind, part in parts:
        if kind not in ("dataset", "weights") and part.digest is not None:
            _check(kind, part, registry)


def _check(kind: str, part: PartRef, registry: Registry) -> None:
    declared = declaration(registry, kind, part.name)
    needed = needed_files(declared.traits, declared.filled(part.arguments), f"{kind} {part.name}")
    found = weights_digest(needed)
    if needed and found not in (None, part.digest):
        names = ", ".join(file.path for file in needed)
        what = f"changed since the suite was read: SHA-256 {str(found)[:12]}… now, {str(part.digest)[:12]}… then"
        hint = "bench run SUITE reads it again, and makes cells of their own for the new weights"
        raise DataError(f"{kind} {part.name}: {what}", where=names, hint=hint, kind="weights")
