"""Calls of a cell's networks by the model that joins them: inside the boundary, and what others read stays as it is.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from harness.api.refiner import DecoderEditor, TapEditor
from harness.core.guests import is_guest
from harness.models.apart import own_draws
from harness.parts.guard import (
    called,
    check_edited,
    check_edits,
    check_same,
    check_unchanged,
    copies_of,
    versions_of,
)
from harness.parts.shared.taps import edited

T = TypeVar("T")

COMPARED = 8
"""Calls of a part whose values are compared: some parts are called at every tap."""
_CALLS: WeakKeyDictionary[nn.Module, Counter[bool]] = WeakKeyDictionary()

How = Callable[[nn.Module, Callable[..., Any]], Callable[..., Any]]
"""A part, and what of it is called, to what runs in the place of that: another way to compute the same."""


def as_written(_part: nn.Module, work: Callable[..., Any]) -> Callable[..., Any]:
    """The way that the part itself says."""
    return work


Edit = Callable[[Tensor], Tensor]
"""A map of the backbone to the edited map."""


def guarded(part: nn.Module, work: Callable[..., T], *given: Tensor | None, kept: Sequence[Tensor | None] = ()) -> T:
    """What `work`, a method or function of a part, gives for `given`.

    What it raises is told as the part's fault, and what it sets of the process is put back. Raises HarnessError when
    one of `given`, or of `kept` which the part holds from an earlier call, has been changed in place. Tensors of
    inference mode do not tell, so none are used. In the first calls of a user's own part the values themselves are
    compared: torch does not count all ways to change them.
    """
    watched = (*given, *kept)
    values = copies_of(*watched) if _is_new(part) else None
    before = versions_of(*watched)
    with called(part):
        result = work(*given)
    check_unchanged(part, before, *watched)
    if values is not None:
        check_same(part, values, *watched)
    return result


def _is_new(part: nn.Module) -> bool:
    """Whether this is one of the first calls of a user's own part, counted in training and in test."""
    if not is_guest(type(part)):
        return False
    counts = _CALLS.setdefault(part, Counter())
    counts[part.training] += 1
    return counts[part.training] <= COMPARED


class Edits:
    """What a refiner does to the taps of one pass of the backbone, and what its losses read (`known`).

    `before_BCHW`: the result of the pass before.
    """

    def __init__(
        self,
        refiner: nn.Module,
        taps: Sequence[str],
        lq_BCHW: Tensor,
        prior_BD: Tensor | None,
        truth_BCHW: Tensor | None,
        before_BCHW: Tensor | None,
        *,
        decoder: bool,
        how: How = as_written,
    ) -> None:
        self.refiner, self.taps = refiner, tuple(taps)
        self._kept: tuple[Tensor | None, ...] = (lq_BCHW, prior_BD, truth_BCHW, before_BCHW)
        self._each: Sequence[Edit] = ()
        self.known: dict[str, Any] = {}
        if decoder:
            later = () if before_BCHW is None else (before_BCHW,)
            made = guarded(refiner, cast(DecoderEditor, refiner).edits, lq_BCHW, prior_BD, truth_BCHW, *later)
            self._each, self.known = check_edits(refiner, made, len(self.taps))
        else:
            edit = how(refiner, cast(TapEditor, refiner).edit)
            self._each = [lambda features_BChw: edit(features_BChw, prior_BD)]

    def inside(self, backbone: nn.Module, *, training: bool) -> ExitStack:
        """A context in which the backbone's taps are edited, in training without a trace in its random numbers."""
        with ExitStack() as stack:
            for tap, edit in zip(self.taps, self._each, strict=True):
                checked = self._checked(edit)
                stack.enter_context(edited(backbone, tap, _apart(tap, checked) if training else checked))
            return stack.pop_all()

    def _checked(self, edit: Edit) -> Edit:
        def checked(features_BChw: Tensor) -> Tensor:
            found = guarded(self.refiner, edit, features_BChw, kept=self._kept)
            return check_edited(self.refiner, found, features_BChw)

        return checked


def _apart(tap: str, edit: Edit) -> Edit:
    def apart(features_BChw: Tensor) -> Tensor:
        with own_draws(tap):
            return edit(features_BChw)

    return apart
