"""The training data of several trainings that go on side by side, read once for all that want the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from harness.api.batch import Batch
from harness.api.loss import Reads
from harness.data.features import FeatureRows
from harness.training.data import Batches
from harness.training.one_pass import OnePass
from harness.training.prefetch import mapped

OpenShared = Callable[[int, int, Collection[Reads], Sequence[FeatureRows]], Batches]
"""(stage, position, what the losses read, feature sets) to the training data from that position on, with the rows of
all sets side by side."""


class Streams:
    """Gives each of several trainings its training data (harness.training.loop.OpenLoader).

    Those that open the same stage for the same losses where another one is at that moment get what that one gets, as
    copies that are theirs alone; others get a stream of their own. `one_pass` is told who reads what. A stream reads
    the prior rows of all trainings: one file of them that is damaged ends it for all its readers.
    """

    def __init__(self, one_pass: OnePass) -> None:
        self._one_pass = one_pass
        self._openers: dict[str, OpenShared] = {}
        self._rows: dict[str, Sequence[FeatureRows | None]] = {}
        self._streams: list[_Stream] = []

    def add(self, name: str, open_shared: OpenShared, rows: Sequence[FeatureRows | None]) -> None:
        """Makes a training known, before any begins to read. `rows`: its prior rows in each stage; None without any.

        Raises as harness.training.data.TrainLoader for data that cannot be read.
        """
        for stage, each in enumerate(rows):
            if each is not None:  # one that does not fit would keep all from reading
                open_shared(stage, 0, (), [each])
        self._openers[name], self._rows[name] = open_shared, rows

    def open(self, name: str, stage: int, position: int, reads: Collection[Reads]) -> Batches:
        """The data of a training in a stage, from a position on. Raises as harness.training.data.TrainLoader."""
        wanted = (stage, frozenset(reads))
        self._streams = [each for each in self._streams if not each.ended]
        fitting = (each for each in self._streams if each.wanted == wanted and each.reaches(position))
        stream = next(fitting, None)
        if stream is None:
            sets = self._sets(stage)
            stream = _Stream(wanted, self._openers[name](stage, position, reads, sets), sets)
            self._streams.append(stream)
        own = self._rows[name][stage]
        return _Reader(stream, position, None if own is None else stream.columns(own), self._one_pass)

    def _sets(self, stage: int) -> list[FeatureRows]:
        """The feature sets of all trainings in a stage, each once."""
        every = (each[stage] for each in self._rows.values())
        return list({rows.manifest_sha256: rows for rows in every if rows is not None}.values())


class _Stream:
    """One iteration of training data, of which the present batch is kept for those that have not had it yet."""

    def __init__(self, wanted: tuple[int, frozenset[Reads]], loader: Batches, sets: Sequence[FeatureRows]) -> None:
        self.wanted, self.ended = wanted, False
        self._loader, self._sets = loader, sets
        self._began = self._reached = loader.position
        """Positions before and after the present batch; the same before the first."""
        self._batches: Generator[Batch, None, None] | None = None
        self._batch: Batch | None = None
        self._failure: BaseException | None = None
        self._readers = 0

    def reaches(self, position: int) -> bool:
        """Whether the batch that begins there is the present one or the next."""
        return position in (self._began, self._reached)

    def columns(self, rows: FeatureRows) -> slice:
        """Those in which the rows of a feature set stand beside the others."""
        widths = [each.dim for each in self._sets]
        place = [each.manifest_sha256 for each in self._sets].index(rows.manifest_sha256)
        return slice(sum(widths[:place]), sum(widths[: place + 1]))

    def to(self, device: torch.device) -> None:
        if self._batches is None:
            self._loader.to(device)

    def enter(self) -> None:
        self._readers += 1

    def leave(self) -> None:
        """Ends the iteration with the last of its readers."""
        self._readers -= 1
        if self._readers == 0:
            self.ended, self._batch = True, None
            if self._batches is not None:
                self._batches.close()

    def batch(self, position: int) -> tuple[Batch, int]:
        """The batch that begins at a position, and where it ends. Raises what reading it raised, for every reader."""
        if position == self._reached:
            self._advance()
        assert position == self._began, "readers of a stream go on together"
        assert self._batch is not None
        return self._batch, self._reached

    def _advance(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._batches = self._batches or self._loader.__iter__()
        try:
            self._batch = next(self._batches)
        except Exception as error:
            self._failure = error
            raise
        self._began, self._reached = self._reached, self._loader.position


class _Reader:
    """A stream as one training reads it: its own copies, and its own prior rows."""

    def __init__(self, stream: _Stream, position: int, columns: slice | None, one_pass: OnePass) -> None:
        self.position = position
        self._stream, self._columns, self._one_pass = stream, columns, one_pass

    def to(self, device: torch.device) -> _Reader:
        self._stream.to(device)
        return self

    def __iter__(self) -> Generator[Batch, None, None]:
        self._stream.enter()
        try:
            while True:
                batch, self.position = self._stream.batch(self.position)
                self._one_pass.stream = self._stream
                yield self._own(batch)
        finally:
            self._stream.leave()

    def _own(self, batch: Batch) -> Batch:
        """Nobody else sees what a training does to its batch."""
        rows_BD: Tensor | None = None
        if self._columns is not None:
            assert batch.prior_BD is not None
            rows_BD = batch.prior_BD[:, self._columns]
        return mapped(replace(batch, prior_BD=rows_BD), _copied)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)
