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
from harness.parts.shared.formats import Entry, State, is_averaged, is_optimisers, shown, some, with_dots

COUNTER = "num_batches_tracked"
"""The last part of the names of batch normalisation's counters, which have no effect on results here."""

WRAPPED = frozenset({"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"})
"""Parts of names that torch.compile, activation checkpointing and FSDP put in, at any place."""

LEADING = 6
"""How many leading parts of names may be no part of the network: `module.`, `model.net.`, `generator_ema.`, …"""

BESIDE = re.compile(r"loss|criterion|perceptual|vgg|lpips|discriminator|metric", re.IGNORECASE)
"""Modules that training keeps beside the network, by the keys and the parts of names that lead to them."""


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
    clashes: tuple[str, ...] = ()
    """Names of the file of which two mean one tensor of the module, each pair as text."""

    @property
    def name(self) -> str:
        """The keys of the file and the leading parts that lead to them, joined by dots."""
        return ".".join(filter(None, (self.entry.name, *self.lead)))

    @property
    def order(self) -> tuple[bool, bool, int]:
        """By which complete readings are preferred, the smallest first."""
        beside = any(map(BESIDE.search, self.name.split(".")))
        return beside, not is_averaged(self.name), self.entry.rank[1]

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
            and not ((top := key.partition(".")[0]) not in tops and (BESIDE.search(top) or is_optimisers(top)))
        )

    @property
    def complete(self) -> bool:
        """Whether all that the module needs is there, once or twice."""
        return not self.missing and not self.misshapen

    def differences(self, *, strict: bool = True) -> str:
        """What is wrong with it for the module; empty when nothing is. Names may differ unless `strict`."""
        wrong: dict[str, Sequence[str]] = {
            "has two tensors for one name:": self.clashes,
            "differs in shape at": self.misshapen,
            "lacks": self.missing * strict,
            "has the unknown": self.unknown * strict,
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
        readings = _meant(entry, readings, known, where)
    chosen = _best(readings, where, kind)
    if wrong := chosen.differences(strict=strict):
        others = [name for name in known if name != chosen.name] if len(entries) > 1 else []
        hint = "use the options that it was trained with"
        hint += f", or take another entry of the file: --entry {some(others, 8)}" if others and not entry else ""
        at = f"{shown(chosen.name)} " if entry or others else ""
        raise DataError(f"{at}was made for another {type(module).__name__}: {wrong}", where=where, hint=hint, kind=kind)
    state = {key: tensor for key, tensor in chosen.state.items() if key in chosen.own}
    if problem := _unusable(chosen, kind):
        fitting = sorted((reading for reading in readings if not reading.differences()), key=lambda each: each.order)
        sound = [each.name for each in fitting if each.name and not _unusable(each, kind)]
        hint = f"take another entry of the file: --entry {' or --entry '.join(map(shown, sound[:3]))}"
        raise DataError(problem[0], where=where, hint=hint if sound else problem[1], kind=kind)
    formats = {str(tensor.dtype) for key, tensor in state.items() if tensor.dtype != chosen.own[key].dtype}
    converted = tuple(sorted(name.removeprefix("torch.") for name in formats))
    found = Found(state, chosen.name, tuple(_left(chosen, entries, readings)), converted)
    module.load_state_dict(state, strict=False)  # all that must be there is
    return found


def _meant(entry: str, readings: Sequence[Reading], known: Sequence[str], where: str) -> list[Reading]:
    """The readings at or below the named keys. Raises UnknownName when there are none."""
    below = [reading for reading in readings if f"{reading.name}.".startswith(f"{entry}.")]
    exact = [reading for reading in below if reading.name == entry]
    if not below:
        hint = did_you_mean(entry, [shown(name) for name in known]) or f"one of {some(known, 8)}"
        hint = hint if known else "leave --entry out: no keys and no leading parts of names lead to these weights"
        raise UnknownName(f"no entry {shown(entry)!r} with weights is in it", where=where, hint=hint)
    return exact if any(reading.complete for reading in exact) else below


def renamed(key: str, names: Mapping[str, str]) -> str:
    """A dotted name with each part translated by the table; parts that become empty vanish."""
    return ".".join(filter(None, (names.get(part, part) for part in key.split("."))))


def _readings(module: nn.Module, entry: Entry) -> Iterable[Reading]:
    """An entry read without any leading parts, and without each number of them that some of its names share."""
    own = module.state_dict()
    official = module.official if isinstance(module, Renamed) else OfficialNames()
    extras = official.extras - own.keys()
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    dotted = with_dots(entry.state, own)
    for key in entry.state:
        parts = dotted.get(key, key).split(".")
        for depth in range(min(len(parts) - 1, LEADING) + 1):
            bare = ".".join(part for part in parts[depth:] if part not in WRAPPED)
            groups[tuple(parts[:depth])].append((key, renamed(bare, official.parts)))
    for lead, pairs in groups.items():
        if is_optimisers(".".join(lead)):
            continue
        keys = {name: key for key, name in pairs if name not in extras}
        clashes = tuple(
            f"{shown(key)} and {shown(keys[name])}"
            for key, name in pairs
            if name in own and entry.state[key] is not entry.state[keys[name]]
        )
        if not lead or not own.keys().isdisjoint(keys):
            state = {name: entry.state[key] for name, key in keys.items()}
            yield Reading(entry, lead, state, keys, own, clashes)


def _best(readings: Sequence[Reading], where: str, kind: FailureClass) -> Reading:
    """The reading that is meant. Raises DataError when several may be."""
    complete = sorted((reading for reading in readings if reading.complete), key=lambda reading: reading.order)
    if not complete:
        nearest = max(readings, key=lambda reading: (reading.covered, not reading.order[1], -reading.order[2]))
        bare = next((reading for reading in readings if reading.entry is nearest.entry and not reading.lead), nearest)
        # A few names that are alike by chance mean nothing.
        return nearest if 2 * nearest.covered > len(nearest.own) else bare
    best = complete[0]
    equal = [reading for reading in complete if reading.order == best.order]
    if clashing := next((reading for reading in equal if reading.clashes), None):
        what = f"holds two tensors for one name: {some(clashing.clashes)}"
        names = ["" if reading.clashes else reading.name for reading in equal]
        raise DataError(what, where=where, hint=_which(names), kind=kind)
    if not all(reading.is_as(best) for reading in equal):
        names = [reading.name for reading in equal if reading is best or not reading.is_as(best)]
        told = some([name or "(without a leading part)" for name in names], 6)
        raise DataError(f"holds weights that fit in several places: {told}", where=where, hint=_which(names), kind=kind)
    return best


def _which(names: Sequence[str]) -> str:
    """How to say which of several weights are meant, as far as --entry can."""
    told = [f"--entry {shown(name)}" for name in names if name and names.count(name) == 1]
    rest = "save the ones that you want as a file of their own"
    return f"say which are meant: {' or '.join(told[:6])}" + f"; or {rest}" * (len(told) < len(names)) if told else rest


def _worth_naming(entries: Sequence[Entry], readings: Sequence[Reading]) -> list[str]:
    """The entries that a user may mean: state dicts, and what fits of their parts."""
    names = [entry.name for entry in entries if entry.named] + [
        reading.name for reading in readings if reading.complete
    ]
    return list(dict.fromkeys(filter(None, names)))


def _left(chosen: Reading, entries: Sequence[Entry], readings: Sequence[Reading]) -> Iterable[str]:
    """What lies in the file beside the chosen weights, in words of the file."""
    reasons = {entry.name: " (an average without names)" for entry in entries if not entry.named} | {
        reading.name: f" (an average that does not fit: {reading.differences()})"
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
        yield f"{shown(name)}{reasons.get(name, '')}"


def _top(key: str, lead: Sequence[str]) -> list[str]:
    """A key as far as its first part that the lead does not have."""
    parts = key.split(".")
    shared = next((n for n, (part, other) in enumerate(zip(parts, lead, strict=False)) if part != other), len(lead))
    return parts[: shared + 1]


def _unusable(chosen: Reading, kind: FailureClass) -> tuple[str, str] | None:
    """What is wrong with the tensors, which must be plain and of the module's kind of number, and what to try."""
    # A training of our own that diverged has its own report; what a user brings must be sound.
    for name in (key for key in chosen.state if key in chosen.own):
        problem = _problem(chosen.state[name], chosen.own[name], finite=kind == "weights")
        if problem:
            hint = "take another file" if "values that are" in problem else "save it as plain float32 numbers"
            return f"{shown(chosen.keys[name])} {problem}", hint
    return None


def _problem(tensor: Tensor, own: Tensor, *, finite: bool) -> str:
    if tensor.is_meta:
        return "has no values"
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return f"is {'quantised' if tensor.is_quantized else 'sparse'}, not a plain tensor"
    if own.is_floating_point() and not tensor.is_floating_point():
        return f"holds {str(tensor.dtype).removeprefix('torch.')}, not floating-point numbers"
    if not finite or not tensor.is_floating_point():
        return ""
    lost = ~torch.isfinite(tensor.float())
    if not (count := int(lost.sum())):
        return ""
    what = "too large for float32" if torch.isfinite(tensor[lost].double()).all() else "not finite"
    return f"holds values that are {what}: {count:,} of {tensor.numel():,}"
