"""Which tensors of a file are a module's weights, whatever stands before their names and whatever else is in it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from harness.api.weights import OfficialNames, Renamed
from harness.core.errors import DataError, FailureClass, UnknownName, did_you_mean
from harness.parts.shared.formats import Entry, State, is_averaged

COUNTER = "num_batches_tracked"
"""The last part of the names of batch normalisation's counters, which have no effect on results here."""

WRAPPED = frozenset({"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
"""Parts of names that torch.compile, activation checkpointing and FSDP put in, at any place."""

LEADING = 6
"""How many leading parts of names may be no part of the network: `module.`, `model.net.`, `generator_ema.`, …"""

BESIDE = re.compile(r"loss|criterion|perceptual|vgg|lpips|discriminator|metric", re.IGNORECASE)
"""Modules that training keeps beside the network, by the first part of their names."""


@dataclass(frozen=True)
class Reading:
    """The tensors of one entry whose names begin alike, under the module's own names."""

    entry: Entry
    lead: tuple[str, ...]
    """The leading parts of their names, which the module lacks."""
    state: State
    keys: Mapping[str, str]
    """The module's names → the file's."""
    own: Mapping[str, Tensor]

    @property
    def name(self) -> str:
        """The keys of the file and the leading parts that lead to them, joined by dots."""
        return ".".join(filter(None, (self.entry.name, *self.lead)))

    @property
    def order(self) -> tuple[bool, int]:
        """By which complete readings are preferred, the smallest first."""
        return not is_averaged(self.name), self.entry.rank[1]

    @cached_property
    def covered(self) -> int:
        return len(self.state.keys() & self.own.keys())

    @cached_property
    def missing(self) -> list[str]:
        """Files from before PyTorch 0.4.1 have no counters; the module keeps its own."""
        return sorted(key for key in self.own.keys() - self.state.keys() if not key.endswith(COUNTER))

    @cached_property
    def misshapen(self) -> list[str]:
        return [
            f"{key} {tuple(self.state[key].shape)}, not {tuple(self.own[key].shape)}"
            for key in sorted(self.own.keys() & self.state.keys())
            if self.state[key].shape != self.own[key].shape
        ]

    @cached_property
    def unknown(self) -> list[str]:
        """Names that the module lacks, but for a training step's counters and modules that are no part of a network."""
        tops = {key.partition(".")[0] for key in self.own}
        return sorted(
            key
            for key in self.state.keys() - self.own.keys()
            if not ("." not in key and not self.state[key].ndim)
            and not ((top := key.partition(".")[0]) not in tops and BESIDE.search(top))
        )

    @property
    def complete(self) -> bool:
        return not self.missing and not self.misshapen

    @property
    def differences(self) -> str:
        """What is wrong with it for the module; empty when nothing is."""
        wrong = {
            "differs in shape at": self.misshapen,
            "lacks": self.missing,
            "has the unknown": self.unknown,
        }
        return "; ".join(f"{what} {some(keys)}" for what, keys in wrong.items() if keys)

    def is_as(self, other: Reading) -> bool:
        """Whether it has the same tensors for the module."""
        return all(self.state.get(key) is other.state.get(key) for key in self.own)


@dataclass(frozen=True)
class Found:
    """The weights for a module in a file, and how they were chosen."""

    state: State
    """Under the module's own names, nothing else among them."""
    name: str
    """Where they stood in the file; empty when nothing but them was there."""
    left: tuple[str, ...]
    """What else lies in the file, by its names there."""
    converted: tuple[str, ...] = ()
    """The number formats in the file that are not the module's own."""


def fill_from(
    module: nn.Module,
    entries: Sequence[Entry],
    *,
    where: str,
    entry: str = "",
    strict: bool = True,
    kind: FailureClass = "checkpoint",
) -> Found:
    """Copies the weights for the module, found among the state dicts of a file, into it, and says which they are.

    `entry`: the one that is meant, by the keys and leading parts of names that lead to it. Else, of those that are
    complete, averaged ones come first. With `strict`, all names must be the module's; without, whatever fits is given,
    but shapes must still agree. Raises UnknownName for an `entry` that is not there; DataError of `kind` when none
    fits, when several do, and for values that are not finite floating-point numbers; the module is then untouched.
    """
    readings = [reading for each in entries if each.named for reading in _readings(module, each)]
    known = _worth_naming(entries, readings)
    if entry:
        readings = [reading for reading in readings if f"{reading.name}.".startswith(f"{entry}.")]
        exact = [reading for reading in readings if reading.name == entry]
        if not readings:
            hint = did_you_mean(entry, known) or f"one of {some(known, 8)}"
            raise UnknownName(f"no entry {entry!r} with weights is in it", where=where, hint=hint)
        readings = exact if any(reading.complete for reading in exact) else readings
    chosen = _best(readings, where, kind)
    wrong = chosen.differences if strict else some(chosen.misshapen) and f"differs in shape at {some(chosen.misshapen)}"
    if wrong:
        others = [name for name in known if name != chosen.name] if len(entries) > 1 else []
        hint = "use the options that it was trained with"
        hint += f", or take another entry of the file: --entry {some(others, 8)}" if others and not entry else ""
        at = f"{chosen.name} " if entry or others else ""
        raise DataError(f"{at}was made for another {type(module).__name__}: {wrong}", where=where, hint=hint, kind=kind)
    state = {key: tensor for key, tensor in chosen.state.items() if key in chosen.own}
    _refuse_unusable(state, chosen, where, kind)
    formats = {str(tensor.dtype) for key, tensor in state.items() if tensor.dtype != chosen.own[key].dtype}
    converted = tuple(sorted(name.removeprefix("torch.") for name in formats))
    found = Found(state, chosen.name, tuple(_left(chosen, entries, readings)), converted)
    module.load_state_dict(state, strict=False)  # all that must be there is
    return found


def some(keys: Sequence[str], limit: int = 3) -> str:
    """A list as a message shows it, on one line."""
    shown = (key if key.isprintable() else key.encode("unicode_escape").decode() for key in keys[:limit])
    return ", ".join(shown) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")


def renamed(key: str, names: Mapping[str, str]) -> str:
    """A dotted name with each part translated by the table; parts that become empty vanish."""
    return ".".join(filter(None, (names.get(part, part) for part in key.split("."))))


def _readings(module: nn.Module, entry: Entry) -> Iterable[Reading]:
    """An entry read without any leading parts, and without each number of them that some of its names share."""
    own = module.state_dict()
    official = module.official if isinstance(module, Renamed) else OfficialNames()
    extras = official.extras - own.keys()
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for key in entry.state:
        parts = key.split(".")
        for depth in range(min(len(parts) - 1, LEADING) + 1):
            bare = ".".join(part for part in parts[depth:] if part not in WRAPPED)
            groups[tuple(parts[:depth])].append((key, renamed(bare, official.parts)))
    for lead, pairs in groups.items():
        keys = {name: key for key, name in pairs if name not in extras}
        if not lead or not own.keys().isdisjoint(keys):
            yield Reading(entry, lead, {name: entry.state[key] for name, key in keys.items()}, keys, own)


def _best(readings: Sequence[Reading], where: str, kind: FailureClass) -> Reading:
    """The reading that is meant. Raises DataError when several may be."""
    complete = sorted((reading for reading in readings if reading.complete), key=lambda reading: reading.order)
    if not complete:
        nearest = max(readings, key=lambda reading: (reading.covered, not reading.order[0], -reading.order[1]))
        bare = next((reading for reading in readings if reading.entry is nearest.entry and not reading.lead), nearest)
        # A few names that are alike by chance mean nothing.
        return nearest if 2 * nearest.covered > len(nearest.own) else bare
    best = complete[0]
    equal = [reading for reading in complete if reading.order == best.order and not reading.is_as(best)]
    if equal:
        names = [reading.name or "(without a leading part)" for reading in (best, *equal)]
        what = f"holds weights that fit in several places: {some(names, 6)}"
        raise DataError(what, where=where, hint=f"say which are meant: --entry {names[-1]}", kind=kind)
    return best


def _worth_naming(entries: Sequence[Entry], readings: Sequence[Reading]) -> list[str]:
    """The entries that a user may mean: state dicts, and what fits of their parts."""
    names = [entry.name for entry in entries if entry.named] + [
        reading.name for reading in readings if reading.complete
    ]
    return list(dict.fromkeys(filter(None, names)))


def _left(chosen: Reading, entries: Sequence[Entry], readings: Sequence[Reading]) -> Iterable[str]:
    """What lies in the file beside the chosen weights, in words of the file."""
    reasons = {entry.name: " (an average without names)" for entry in entries if not entry.named} | {
        reading.name: f" (an average that does not fit: {reading.differences})"
        for reading in readings
        if is_averaged(reading.name) and not reading.complete and 2 * reading.covered > len(chosen.own)
    }
    used = {chosen.keys[name] for name in chosen.state if name in chosen.own}
    names: dict[str, None] = {}
    for entry in entries:
        if entry is chosen.entry or not entry.name:
            lead = chosen.lead if entry is chosen.entry else ()
            beside = [key for key in entry.state if entry is not chosen.entry or key not in used]
            names |= {".".join(filter(None, (entry.name, *_top(key, lead)))): None for key in beside}
        else:
            names[entry.name] = None
    for name in names:
        yield f"{name}{reasons.get(name, '')}"


def _top(key: str, lead: Sequence[str]) -> list[str]:
    """A key as far as its first part that the lead does not have."""
    parts = key.split(".")
    shared = next((n for n, (part, other) in enumerate(zip(parts, lead, strict=False)) if part != other), len(lead))
    return parts[: shared + 1]


def _refuse_unusable(state: State, chosen: Reading, where: str, kind: FailureClass) -> None:
    """Raises DataError for tensors that do not hold plain numbers, or not the kind of number that the module has."""
    # A training of our own that diverged has its own report; what a user brings must be sound.
    for name, tensor in state.items():
        key, problem = chosen.keys[name], _problem(tensor, chosen.own[name], finite=kind == "weights")
        if problem:
            hint = "take another file" if "finite" in problem else "save it as plain float32 numbers"
            raise DataError(f"{some([key])} {problem}", where=where, hint=hint, kind=kind)


def _problem(tensor: Tensor, own: Tensor, *, finite: bool) -> str:
    if tensor.is_meta:
        return "has no values"
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return f"is {'quantised' if tensor.is_quantized else 'sparse'}, not a plain tensor"
    if own.is_floating_point() and not tensor.is_floating_point():
        return f"holds {str(tensor.dtype).removeprefix('torch.')}, not floating-point numbers"
    if finite and tensor.is_floating_point() and (bad := int((~torch.isfinite(tensor.float())).sum())):
        return f"holds values that are not finite: {bad:,} of {tensor.numel():,}"
    return ""
