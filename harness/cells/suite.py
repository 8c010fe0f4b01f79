"""A suite after expansion: every cell with its labels and tests. What `spec` gives to `planning`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, model_validator

from harness.api.reference import Frozen, PartRef
from harness.api.sets import TestSet
from harness.api.task import EvaluationProtocol, present
from harness.cells.cell import Cell
from harness.cells.published import PublishedNumber

DATASET_DIGITS = 8
"""Digits of the digest of a data set's identity in columns of tables."""


class Labels(Frozen):
    """How tables call a cell. Never part of any identity."""

    task: str
    backbone: str
    variant: str

    def title(self, seed: int) -> str:
        """How people call a cell."""
        return f"{self.task} {self.backbone} {self.variant} seed {seed}"


class DeepSpeed(Frozen):
    """The suite's `run.deepspeed:` section: how DeepSpeed divides a training."""

    stage: Literal[1, 2, 3] = 2
    """What is divided over the processes: 1 the optimizer's state, 2 gradients as well, 3 weights as well."""
    offload: Literal["none", "optimizer", "all"] = "none"
    """What waits in the machine's memory instead of the GPU's: the optimizer's state, or (stage 3) weights as well."""
    config: str | None = None
    """Path of a DeepSpeed configuration, JSON, in place of `stage` and `offload`. What the recipe decides (batch,
    precision, clipping, optimizer) is the recipe's all the same."""


class Run(Frozen):
    """The suite's `run:` section: how jobs run. Nothing here changes results but `cpus`, which changes their rounding,
    as `processes`, `gpus`, `nodes`, `strategy` and `compile` do."""

    cpus: PositiveInt = 1
    """Threads of each process of a train or evaluate job, the same for all: sums of floats depend on it, and so do
    weights."""
    gpus: NonNegativeInt | Literal["auto"] = "auto"
    """GPUs of a train job, each with a process of its own; auto: one when the executor has any, one a process where
    `processes` or `nodes` say how many."""
    processes: PositiveInt | None = Field(None, exclude_if=lambda value: value is None)
    """Processes of a train job, over which every batch is divided; as many as it has GPUs when left out, else one a
    node."""
    nodes: PositiveInt | None = Field(None, exclude_if=lambda value: value is None)
    """Machines over which these processes are divided equally; 1: all on one machine; on as few as possible when left
    out."""
    strategy: Literal["ddp", "fsdp2", "deepspeed"] = Field("ddp", exclude_if=lambda value: value == "ddp")
    """What each process holds: all weights (ddp), or a share (fsdp2, deepspeed), for networks that are too large."""
    deepspeed: DeepSpeed | None = Field(None, exclude_if=lambda value: value is None)
    """How DeepSpeed divides a training, with `strategy: deepspeed`."""
    compile: Literal["auto", "off", "on"] = Field("auto", exclude_if=lambda value: value == "auto")
    """Whether networks, losses and their gradients run as graphs that torch.compile makes; auto: on a GPU, in trainings
    that are long enough to repay it. What cannot be compiled runs as it is written."""
    deterministic: bool = Field(False, exclude_if=lambda value: value is False)
    """Whether two runs on GPUs of one type give the same weights and numbers to the last bit, at the price of speed; on
    CPUs they do in any case."""
    checkpoint_every: PositiveInt = 200
    """Steps between checkpoints."""
    log_every: PositiveInt = 20
    """Steps between lines of the loss curve."""
    samples: NonNegativeInt = 3
    """Test images per data set for which a strip of input | restored | truth is saved."""
    retries: NonNegativeInt = 2
    """Further attempts after a lost worker."""
    patience: PositiveInt = Field(600, exclude_if=lambda value: value == 600)
    """Seconds without progress (no step, no checkpoint, no message) after which a process counts as frozen, and its job
    as lost."""

    def ranks(self, gpus: int) -> int:
        """Processes of a train job, with so many GPUs given to it."""
        return self.processes or max(gpus, self.nodes or 1)


def metric_title(label: str, key: str, name: str) -> str:
    """The label that a suite gives to a metric, else its name in capitals, with its options: `PSNR(border=4)`."""
    return label if label != key else key.replace(name, name.upper(), 1)


class SuiteMetric(Frozen):
    """A metric that a suite asks for."""

    part: PartRef
    key: str
    """What records call it: its name, with the options that are not its defaults, as `psnr(border=4)`."""
    label: str
    """What tables call it."""
    reference: Literal["full", "none"] = Field("full", exclude_if=lambda reference: reference == "full")
    """Whether it compares with clean images (harness.api.metric.MetricTraits)."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        """Suites of earlier releases store the name alone, and so say nothing of the version."""
        if isinstance(value, str):
            return {"part": {"name": value, "version": ""}, "key": value, "label": value}
        return value

    @property
    def title(self) -> str:
        """What a table writes above its column."""
        return metric_title(self.label, self.key, self.part.name)

    def is_measured(self, protocol: EvaluationProtocol) -> bool:
        """Whether it is asked under a protocol: one without reference is not where the clean image changes what is
        scored."""
        return protocol.measures(self.reference)

    def is_version(self, on_record: str | None) -> bool:
        """Whether values on record are of this metric, by the version that they were computed with; None: no values."""
        return on_record is not None and self.part.version in ("", on_record)


class SuiteCell(Frozen):
    """A cell as one suite sees it. `listed` is False for cells that only other cells need (a prior's network)."""

    cell: Cell
    labels: Labels
    tests: tuple[TestSet, ...]
    """What the cell is evaluated on."""
    listed: bool = True

    @model_validator(mode="before")
    @classmethod
    def _from_names(cls, value: Any) -> Any:
        """Suites of earlier releases store a test set as its data set alone, under the cell's own task."""
        if isinstance(value, dict) and isinstance(value.get("cell"), dict):
            own = value["cell"].get("task")
            tests = [
                {"dataset": test, "task": own} if isinstance(test, dict) and "dataset" not in test else test
                for test in value.get("tests", ())
            ]
            return {**value, "tests": tests}
        return value

    @property
    def title(self) -> str:
        """How people call the cell."""
        return self.labels.title(self.cell.seed)


class ResolvedSuite(Frozen):
    """All that `bench run` needs to know of a suite file. Cells in the file's order, required ones first."""

    name: str
    description: str = ""
    cells: tuple[SuiteCell, ...]
    metrics: tuple[SuiteMetric, ...]
    protocols: tuple[Annotated[EvaluationProtocol, AfterValidator(present)], ...] = ()
    """How restored images are scored, in the order of the tables; every task's own protocol when empty."""
    dataset_labels: Mapping[str, str] = Field({}, exclude_if=lambda labels: not labels)
    """What tables call data sets, by the first digits of the digests of their identities."""
    allow_overlap: bool = Field(False, exclude_if=lambda allowed: not allowed)
    """Whether cells may be tested on pictures that they were trained on. Part of no identity."""
    published: tuple[PublishedNumber, ...] = Field((), exclude_if=lambda numbers: not numbers)
    """What papers and repositories print of its cells. Part of no identity."""
    run: Run = Run()
    plugins: tuple[str, ...] = ()
    """Absolute paths of plug-in files."""
    file: str = Field("", exclude_if=lambda file: not file)
    """Where the suite file lay when it ran, or `shipped:<name>`; tells suites of one name apart in a folder of results.
    Empty in those of earlier releases."""
