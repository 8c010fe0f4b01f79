"""Published weights that are known by name, read from `catalogue.yaml` beside this file. Torch-free.

Weights of networks lie in one folder (harness.weights.folder) under their id, converted to safetensors, each beside a
small JSON file that says where it came from. Files that other parts read as published lie where those parts look for
them. `bench weights` manages all of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from harness.core.errors import HarnessError, SpecErrors, UnknownName, did_you_mean
from harness.core.identity import unsealed
from harness.core.text import shortened
from harness.core.yaml import Place, load
from harness.weights.folder import hub_file, weights_folder

FILE = Path(__file__).with_suffix(".yaml")

NO_ORIGIN = "the JSON beside it is missing or damaged"
"""What is wrong with a converted file that has no sound origin."""

LONGEST_STEP = 200
"""Bytes of one part of a name; file systems take 255, and files have a suffix and are written under a longer name."""


@dataclass(frozen=True)
class Checkpoint:
    """One published file of weights. The head of `catalogue.yaml` says what the fields mean."""

    id: str
    part: str = ""
    network: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    page: str = ""
    file: str = ""
    url: str | None = None
    sha256: str | None = None
    sha256_prefix: str = ""
    licence: str = ""
    place: str = ""
    note: str = ""

    @property
    def path(self) -> Path:
        """Where it lies, or would lie, on this machine."""
        root, _, name = self.place.partition("/")
        if root == "hub":
            folder, _, name = name.partition("/")
            return hub_file(folder, name)
        return weights_folder() / (name if self.place else f"{self.id}.safetensors")

    @property
    def origin(self) -> Path:
        """The JSON beside a converted file."""
        return self.path.with_suffix(".json")

    @property
    def taker(self) -> str:
        """The part that takes it, with its options where they are not the defaults."""
        options = ", ".join(f"{name}={_said(value)}" for name, value in self.options.items())
        return f"{self.part or self.network.partition(':')[2]}" + (f" ({options})" if options else "")

    @property
    def published(self) -> str:
        """The name to look for on its page."""
        return self.file or (self.url or "").rpartition("/")[2]

    @property
    def by_hand(self) -> str:
        """How to get it without `bench weights fetch`."""
        download = f"download {self.url} elsewhere" if self.url else f"open {self.page}, download {self.published}"
        return f"{download}, then: bench weights import FILE --as {self.id}"

    @property
    def command(self) -> str:
        """The command that gets it: weights of a user's own cannot be fetched."""
        if self.page:
            return f"bench weights fetch {self.id}"
        given = "".join(f" --option {name}={_typed(value)}" for name, value in self.options.items())
        whose = f"{self.part.removeprefix('backbone ')}{given}" if self.part else "NAME --option NAME=VALUE"
        return f"bench weights import FILE --as {self.id} --backbone {whose}"

    @property
    def again(self) -> str:
        """What to do about a file that is not what it should be."""
        return f"remove it, then: {self.command}" if self.page else f"import it again: {self.command}"

    def digest_problem(self, found: str) -> str:
        """What is wrong with a published file of this SHA-256; empty when nothing is, or when none is known."""
        wanted = self.sha256 or self.sha256_prefix
        if found.startswith(wanted):
            return ""
        return f"its SHA-256 is {found}, that of the published file {'is' if self.sha256 else 'begins with'} {wanted}"


@dataclass(frozen=True)
class Origin:
    """What the JSON beside a converted file says of it."""

    id: str
    part: str
    options: Mapping[str, Any]
    licence: str
    published_file: str
    published_sha256: str
    entry: str
    """The keys, and leading parts of names, that led to the weights inside the published file."""
    sha256: str
    """SHA-256 of the converted file."""
    imported: str
    """UTC, ISO 8601."""

    def content(self) -> dict[str, Any]:
        return asdict(self)


@cache
def _read(file: Path) -> tuple[Checkpoint, ...]:
    tree, problems = load(file.read_text(encoding="utf-8"), Place(str(file)))
    if tree is None or problems:
        raise SpecErrors(problems)
    return tuple(Checkpoint(id=name, **fields) for name, fields in tree.plain.items())


def known() -> tuple[Checkpoint, ...]:
    """All checkpoints of `catalogue.yaml`, in its order."""
    return _read(FILE)


def own() -> list[Checkpoint]:
    """Weights of a user's own networks in the folder of weights, which `catalogue.yaml` does not name."""
    return [checkpoint for checkpoint in _not_known() if checkpoint.part]


def without_origin() -> list[Checkpoint]:
    """Files in the folder of weights that nothing says whose they are: the JSON beside them is missing or damaged."""
    return [checkpoint for checkpoint in _not_known() if not checkpoint.part]


def _not_known() -> Iterator[Checkpoint]:
    """A checkpoint for each converted file that `catalogue.yaml` does not name, also where the JSON beside it alone is
    left; of no part where its JSON is bad.
    """
    folder, places = weights_folder(), {checkpoint.path for checkpoint in known()}
    weights = {file for file in folder.rglob("*.safetensors") if file.is_file()}
    origins = {file.with_suffix(".safetensors") for file in folder.rglob("*.json") if file.is_file()}
    for file in sorted(weights | origins):
        if file not in places:
            bare = Checkpoint(file.relative_to(folder).with_suffix("").as_posix(), licence="your own")
            origin = read_origin(bare)
            if origin is None or not origin.part.startswith("backbone "):
                if file in weights:
                    yield bare
            else:
                yield replace(bare, part=origin.part, options=origin.options, licence=origin.licence)


def find(name: str) -> Checkpoint:
    """The checkpoint with this id. Raises UnknownName with the nearest known ones, or why it cannot be used."""
    published = {checkpoint.id: checkpoint for checkpoint in known()}
    if name in published:
        return published[name]
    by_id = published | {checkpoint.id: checkpoint for checkpoint in own()}
    if name not in by_id:
        if bare := next((checkpoint for checkpoint in without_origin() if checkpoint.id == name), None):
            raise UnknownName(f"{name}: {NO_ORIGIN}", where=str(bare.path), hint=bare.again)
        raise UnknownName(f"no checkpoint is called {name!r}", hint=did_you_mean(name, by_id) or "bench weights list")
    return by_id[name]


def named(part: str, options: Mapping[str, Any], name: str) -> Checkpoint:
    """A checkpoint of a user's own network. Raises HarnessError for names that cannot be files or are taken."""
    if any(checkpoint.id == name for checkpoint in known()):
        raise HarnessError(f"{name} is a published checkpoint", hint="another name, or leave --backbone out")
    if not name.isprintable() or not all(_is_step(step) for step in name.split("/")):
        raise HarnessError(f"{shortened(name, 80)!r} cannot be a name of weights", hint="such as my/restormer")
    return Checkpoint(name, part=part, options=dict(options), licence="your own")


def _is_step(step: str) -> bool:
    """Whether one part of a name can be that of a file or folder."""
    return bool(step) and step.strip(". ") == step and "\\" not in step and len(os.fsencode(step)) <= LONGEST_STEP


def state(checkpoint: Checkpoint) -> Literal["here", "missing", "damaged"]:
    """Whether its file is on this machine; damaged where nothing says which network it is for."""
    here: Literal["here", "damaged"] = "here" if checkpoint.part or checkpoint.network else "damaged"
    return here if checkpoint.path.is_file() else "missing"


def read_origin(checkpoint: Checkpoint) -> Origin | None:
    """What is written beside a converted file; None when nothing sound is."""
    try:
        content = unsealed(checkpoint.origin.read_bytes()).content
        origin = replace(Origin(**content), options=_tuples(content["options"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = [value for name, value in origin.content().items() if name != "options"]
    return origin if all(isinstance(text, str) for text in texts) and isinstance(origin.options, dict) else None


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that parts take."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _typed(value: Any) -> str:
    """A value as `--option` takes it."""
    return ",".join(map(_typed, value)) if isinstance(value, tuple) else json.dumps(value).strip('"')


def _said(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
