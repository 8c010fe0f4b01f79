"""The contract of a part that a catalogue names, made from its options."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.api.declaration import declaration
from harness.api.refiner import RefinerTraits
from harness.core.registry import Entry, Registry
from harness.core.source import is_file
from harness.spec.options import refers_to

if TYPE_CHECKING:
    from torch import Tensor, nn

COPIED = 256 << 20
"""Bytes of a data set's own files above which they are not copied to another place for a test."""


@dataclass(frozen=True)
class PartUnderTest:
    """A part, the options to test it with, and the names that it may refer to."""

    entry: Entry
    registry: Registry
    options: Mapping[str, Any]
    """As the constructor takes them; of files absolute paths."""
    files: tuple[str, ...] = ()
    """Names of the options that hold the path of a file."""

    @property
    def cls(self) -> Any:
        return self.registry.load(self.entry.kind, self.entry.name)

    @property
    def neighbours(self) -> list[Entry]:
        """All parts of the same plug-in file."""
        file = self.entry.target.rpartition(":")[0]
        return [entry for entry in self.registry.entries() if is_file(file) and entry.target.startswith(f"{file}:")]


def contract_for(subject: PartUnderTest) -> type:
    """The contract class of the part's kind whose `make` gives the part with its options.

    Imports torch for the kinds that need it.
    """
    makers = {
        "dataset": _dataset,
        "degradation": _degradation,
        "task": _task,
        "metric": _metric,
        "prior": _prior,
        "backbone": _backbone,
        "refiner": _refiner,
        "loss": _loss,
    }
    return makers[subject.entry.kind](subject)


def _base(kind: str, name: str) -> Any:
    return getattr(import_module(f"harness.testing.{kind}"), name)


def _case(base: Any, **methods: Any) -> type:
    return type("Case", (base,), methods)


def _dataset(subject: PartUnderTest) -> type:
    held = None
    traits = declaration(subject.registry, "dataset", subject.entry.name).traits
    if traits.source is not None and subject.options.get("root") is None:
        held, subject = _on_an_example(subject)

    def moved(case: Any, folder: Path) -> Any:
        given = {name: Path(subject.options[name]) for name in subject.files if subject.options.get(name) is not None}
        if not given or sum(map(_size, given.values())) > COPIED:
            return None
        copies = {name: _copied(path, folder / name) for name, path in given.items()}
        return subject.cls(**{**subject.options, **copies})

    base = _base("dataset", "DatasetContract")
    return _case(base, make=lambda case: subject.cls(**subject.options), moved=moved, held=held)


def _on_an_example(subject: PartUnderTest) -> tuple[TemporaryDirectory[str], PartUnderTest]:
    """A data set of the field on an example of its first layout, as its own images are not here; and what holds it."""
    from harness.data.example import write_example

    held = TemporaryDirectory()
    root = write_example(subject.registry, subject.entry.name, Path(held.name) / "data")
    return held, replace(subject, options={**subject.options, "root": str(root)}, files=("root",))


def _degradation(subject: PartUnderTest) -> type:
    return _case(_base("degradation", "DegradationContract"), make=lambda case: subject.cls(**subject.options))


def _task(subject: PartUnderTest) -> type:
    return _case(_base("task", "TaskContract"), make=lambda case: subject.cls, registry=subject.registry)


def _metric(subject: PartUnderTest) -> type:
    return _case(
        _base("metric", "MetricContract"), make=lambda case, protocol: subject.cls(protocol, **subject.options)
    )


def _prior(subject: PartUnderTest) -> type:
    declared = declaration(subject.registry, "prior", subject.entry.name)
    needs_network = any(refers_to(option) == "CellRef" for option in declared.options.values())

    def make(case: Any) -> Any:
        return subject.cls(*([_network()] if needs_network else []), **subject.options)

    return _case(_base("prior", "DerivedPriorContract" if declared.traits.derived else "PriorContract"), make=make)


def _backbone(subject: PartUnderTest) -> type:
    return _case(_base("backbone", "BackboneContract"), make=lambda case: subject.cls(**subject.options))


def _refiner(subject: PartUnderTest) -> type:
    contract = _base("refiner", "RefinerContract")
    traits: RefinerTraits = declaration(subject.registry, "refiner", subject.entry.name).traits
    own = contract.tap_channels if traits.edits == "tap" else contract.decoder_channels

    def make(case: Any, prior_dim: int, channels: Any = None) -> Any:
        if channels is None and "image" not in traits.placements:
            channels = own
        given = [prior_dim] if traits.needs_prior else []
        return subject.cls(*given, *([] if channels is None else [channels]), **subject.options)

    return _case(contract, make=make)


def _loss(subject: PartUnderTest) -> type:
    return _case(
        _base("loss", "LossContract"),
        make=lambda case: subject.cls(**subject.options),
        outputs=lambda case, lq_BCHW: _outputs(subject, lq_BCHW),
        options=dict(subject.options),
    )


def _outputs(subject: PartUnderTest, lq_BCHW: Tensor) -> Mapping[str, Any]:
    """What a network of the same file gives beside its restoration, if it names the loss as its own."""
    for entry in subject.neighbours:
        if entry.kind not in ("backbone", "refiner"):
            continue
        traits = declaration(subject.registry, entry.kind, entry.name).traits
        uses = [*traits.losses, *(use for stage in traits.stages for use in stage.losses)]
        if traits.outputs and subject.entry.name in [use.name for use in uses]:
            part = subject.registry.load(entry.kind, entry.name)
            if entry.kind == "backbone":
                outputs = part().outputs(lq_BCHW)
            else:
                prior = _base("checks", "unit_rows")(len(lq_BCHW), 36) if traits.needs_prior else None
                outputs = part(*([36] if traits.needs_prior else [])).outputs(lq_BCHW, lq_BCHW, prior)
            return {name: value for name, value in outputs.items() if name != "restored"}
    return {}


def _network() -> nn.Module:
    """A small network with fresh weights, in place of one that a cell has trained."""
    nafnet = _module("harness.parts.backbones.nafnet", "NAFNet")
    model = _module("harness.models.assemble", "RestorationModel")
    small = nafnet(width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    return model(small).eval().requires_grad_(False)  # type: ignore[no-any-return]


def _module(name: str, attribute: str) -> Any:
    return getattr(import_module(name), attribute)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _copied(path: Path, place: Path) -> str:
    """Copies a file or folder, with times of its own."""
    place.mkdir(parents=True)
    if path.is_file():
        return str(shutil.copyfile(path, place / path.name))
    return str(shutil.copytree(path, place / path.name, copy_function=shutil.copyfile))
