"""What a cell's trial finds wrong, and which of its parts is to blame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from harness.api.reference import PartRef
from harness.core.errors import HarnessError
from harness.core.guests import blame
from harness.core.machine import shortage
from harness.core.registry import Registry
from harness.core.source import is_file, place_of

_NO_NUMBERS = re.compile(r"\bmeta (tensors?|device)\b|\bdevice[ =:]+'?meta\b", re.IGNORECASE)
"""How torch says that a tensor on `meta` has no numbers."""

Kind = Literal["backbone", "refiner", "prior", "loss", "recipe"]


@dataclass(frozen=True)
class Fault:
    """A mistake of a suite, or of a part of the user's own, that a trial found."""

    kind: Kind
    """The kind of the part at fault; `recipe` for a recipe that does not fit."""
    what: str
    hint: str = ""
    name: str = ""
    """The part's name."""
    field: tuple[str | int, ...] = ()
    """Path in the recipe."""
    place: tuple[str, int] | None = None
    """File and line of a part of the user's own."""


class Found(Exception):
    """Ends a trial with what is wrong."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


class Unknowable(Exception):
    """Ends a trial that cannot go on without numbers, without files of weights, or without memory."""


@contextmanager
def blamed(kind: Kind, part: PartRef, registry: Registry, doing: str) -> Iterator[None]:
    """Turns what a part raises inside into `Found` or `Unknowable`. `doing`: what failed, as "cannot be built"."""
    try:
        yield
    except (Found, Unknowable):
        raise
    except BaseException as error:
        guest = blame(error)
        if guest is None and not isinstance(error, Exception):
            raise
        if _is_numbers(error) or _is_elsewhere(error):
            raise Unknowable(str(error)) from error
        told = guest or error
        text, hint = (told.what, told.hint) if isinstance(told, HarnessError) else (_told(told), "")
        place = _place(told, registry.get(kind, part.name).target)
        raise Found(Fault(kind, f"the {kind} {part.name} {doing}: {text}", hint, part.name, (), place)) from error


def _is_numbers(error: BaseException) -> bool:
    """Whether an exception, where tensors are on `meta`, says that they have no numbers."""
    if isinstance(error, HarnessError | Unknowable):
        return error.__cause__ is not None and _is_numbers(error.__cause__)
    on_meta = torch.get_default_device().type == "meta"
    return on_meta and (isinstance(error, NotImplementedError) or bool(_NO_NUMBERS.search(str(error))))


def _is_elsewhere(error: BaseException) -> bool:
    """Whether not the suite, but this machine is the reason: its memory, its disk, weights that it lacks."""
    if isinstance(error, HarnessError):
        return error.kind in ("weights", "memory", "storage")
    return shortage(error) is not None


def _told(error: BaseException) -> str:
    """The first line of an exception, with its class."""
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _place(error: BaseException, target: str) -> tuple[str, int] | None:
    """Where a guest went wrong, else where its class stands; None for a built-in part."""
    if isinstance(error, HarnessError) and error.kind == "plugin":
        file, _, line = error.where.rpartition(":")
        if file and line.isdigit():
            return file, int(line)
    return place_of(target) if is_file(target.partition(":")[0]) else None
