"""What this machine lacks: weight files and images, each with the command that gets it. Asked of the parts, cheaply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.api.parts import EvaluationProtocol, WeightFile
from harness.api.reference import PartRef
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.planning.job import FeaturesWork, ShardsWork, Work
from harness.spec.checkpoints import find


def one_line(error: HarnessError) -> str:
    """An error as a table says it: what and what to try."""
    return f"{error.what} · try: {error.hint}" if error.hint else error.what


@dataclass
class Needs:
    """Answers once for every part and its options, however many cells have it."""

    registry: Registry
    _missing: dict[tuple[str, str], str | None] = field(default_factory=dict)
    _protocols: dict[str, EvaluationProtocol] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    def protocol(self, task: PartRef) -> EvaluationProtocol:
        """How restored images of a task are judged."""
        name = task.model_dump_json()
        if name not in self._protocols:
            self._protocols[name] = self.registry.load("task", task.name)(**task.arguments).protocol
        return self._protocols[name]

    def of_work(self, work: Work) -> str | None:
        """Why a job cannot run here, whatever the jobs before it do; None when nothing is missing."""
        if isinstance(work, ShardsWork):
            return self._ask("dataset", work.samples.dataset)
        if isinstance(work, FeaturesWork):
            return self._ask("prior", work.features.prior)
        cell = work.cell
        if work.kind == "train" and cell.ready_made:
            assert cell.backbone is not None
            return self._ask("weights", cell.backbone)
        parts = [("backbone", cell.backbone), ("refiner", cell.variant.refiner)]
        if work.kind == "train":
            parts += [("loss", term.part) for term in cell.loss_terms]
            parts += [("prior", cell.variant.prior)] if cell.variant.features == "live" else []
        reasons = [self._ask(kind, part) for kind, part in parts if part is not None]
        return next((reason for reason in reasons if reason), None)

    def metric_version(self, name: str) -> str:
        """Version of a metric part."""
        if name not in self._versions:
            self._versions[name] = self.registry.signature("metric", name).version
        return self._versions[name]

    def of_metrics(self, metrics: Sequence[str]) -> dict[str, str]:
        """The metrics that cannot be computed here, each with the reason."""
        reasons = {name: self._ask("metric", PartRef(name=name)) for name in metrics}
        return {name: reason for name, reason in reasons.items() if reason}

    def _ask(self, kind: str, part: PartRef) -> str | None:
        name = (kind, part.model_dump_json())  # with the places of files: one may be missing
        if name not in self._missing:
            try:
                ask = {"dataset": self._images, "weights": self._published}.get(kind, partial(self._weights, kind))
                self._missing[name] = ask(part)
            except HarnessError as error:
                self._missing[name] = f"{kind} {part.name}: {one_line(error)}"
        return self._missing[name]

    def _weights(self, kind: str, part: PartRef) -> str | None:
        if not self.registry.signature(kind, part.name).needs_weights:
            return None
        return self._lacking(f"{kind} {part.name}", self.registry.load(kind, part.name).weights(**part.arguments))

    def _published(self, backbone: PartRef) -> str | None:
        """Of a backbone's published weights."""
        checkpoint = find(str(backbone.weights))
        file = WeightFile(checkpoint.id, str(checkpoint.path), f"bench weights fetch {checkpoint.id}")
        return self._lacking(f"backbone {backbone.name}", [file])

    def _lacking(self, part: str, files: Sequence[WeightFile]) -> str | None:
        lacking = [file for file in files if not Path(file.path).expanduser().exists()]
        if not lacking:
            return None
        names = ", ".join(file.name for file in lacking)
        fetch = " && ".join(dict.fromkeys(file.fetch for file in lacking))
        return f"{part} needs {names} · try: {fetch}"

    def _images(self, part: PartRef) -> str | None:
        found = self.registry.load("dataset", part.name)(**part.arguments).fingerprint()
        if part.digest not in (None, found):
            return (
                f"dataset {part.name}: the images changed since the suite was read "
                f"({part.digest} then, {found} now) · try: the same command again"
            )
        return None
