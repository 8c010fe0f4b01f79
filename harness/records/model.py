"""What a cell leaves behind. `record.json` is a RunRecord, `images.parquet` a table of ImageRecord rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from harness.api.recipe_use import RecipeUse
from harness.api.reference import Frozen
from harness.api.task import present_label
from harness.core.errors import FailureClass

SCHEMA_VERSION = 1

IMAGE_COLUMNS = ("evaluation", "dataset", "key", "metric", "value", "scene", "group")
"""Columns of images.parquet, one row per image and metric, sorted by the first four: strings but for the value, a
float64. Files of earlier releases lack the last one or two: their scenes are null and their groups empty."""


def weights_of(cell_id: str) -> str:
    """The name in provenances of the trained weights of another cell."""
    return f"cell {cell_id}"


def vectors_of(set_name: str) -> str:
    """The name in provenances of the manifest of a set's prior vectors."""
    return f"features of {set_name}"


class Attempt(Frozen):
    """One try of one job. Times are UTC, ISO 8601."""

    job: str
    started: str
    ended: str
    outcome: Literal["done", "failed", "interrupted"]
    failure: FailureClass | None = None
    message: str = ""
    resumed_at: int | None = None
    """Step of the checkpoint that training went on from; None: from the start."""


class Failure(Frozen):
    """Why the last attempt failed."""

    kind: FailureClass
    message: str
    log: str = ""


class Provenance(Frozen):
    """Where, with what and from what a result was made."""

    harness: str
    """Version of this package."""
    code: str
    """Git commit (with `+dirty` when edited) or, installed, the digest of the package's source files."""
    python: str
    platform: str
    processor: str
    cpus: int
    gpus: tuple[str, ...] = ()
    threads: int = 1
    packages: dict[str, str] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every manifest that was read, by set name and split."""
    weights: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of every weight file that was read, by part name or, of another cell's weights, as `weights_of` says."""
    skipped: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Files that the user told a data set to leave out, and why each could not be used, by set name and split."""


class Leg(Frozen):
    """What the same processes trained of a cell, on one kind of machine and by the same code, up to the next leg."""

    after: int
    """Steps that were taken before."""
    processes: int
    """Over which every batch was divided."""
    strategy: Literal["ddp", "fsdp2", "deepspeed"] | None
    """How they divided the training; None: one process trained it whole."""
    machine: str = ""
    """That of their first process: its GPUs or, without any, its processor; empty in records of earlier releases."""
    code: str = ""
    """As `Provenance` tells it; empty in records of earlier releases."""


class Compilation(Frozen):
    """What of a training's steps ran as graphs that torch.compile made, in the last attempt."""

    parts: dict[str, str]
    """By name, as `backbone`, `refiner` or `l1`: `compiled`, or why it ran as it is written."""
    seconds: float
    """What making the graphs took; little where they were in the compiler's cache."""
    speedup: float | None = None
    """Seconds of a step as written over those of a step with the graphs, on the first batch; None where it was not
    measured."""


class Training(Frozen):
    """How the cell was trained."""

    steps: int
    images: int
    """Training samples seen, over all steps."""
    seconds: float
    """Wall time in the training loop, over all attempts."""
    final_loss: float | None
    """None where nothing was trained because the weights are published ones."""
    backbone_parameters: int
    added_parameters: int
    """Parameters that the refiner adds."""
    checkpoint_sha256: str
    processes: int = 1
    """Over which every batch was divided, in the last attempt."""
    legs: tuple[Leg, ...] = ()
    """Its parts by other processes, in order, as each goes on from the checkpoint of the one before; none in records of
    earlier releases, or where nothing was trained. `provenance` is that of the process that finished it."""
    halved: int = 0
    """How often its micro-batch was halved, in the last attempt, because memory ran out."""
    together: int = 1
    """Trainings that took steps beside it behind one pass of the same frozen backbone, at most, itself included. Of the
    time that they took together, `seconds` has its equal share."""
    compilation: Compilation | None = None
    """None where nothing was to be compiled, and in records of earlier releases."""
    deterministic: bool = False
    """Whether the last attempt was asked for the same bits in every run on GPUs of its type (`run.deterministic`)."""
    forms: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it
    """In which form operations of the harness's own ran that have several, by name, as `ptg_rm`; empty where none did,
    and in records of earlier releases."""
    recipe: RecipeUse | None = None
    """The preset that the recipe was made from, and what differed from it; None without one."""
    prior_saw: str | None = None
    """Of which pictures the prior's vectors were made in training, in words; None without a prior, and in records of
    earlier releases."""


class EvaluationRecord(Frozen):
    """One test set under one protocol. Means are made in reports, from images.parquet."""

    id: str
    dataset: str
    split: str
    protocol: Annotated[str, AfterValidator(present_label)]
    """`<name>/v<version>`, by its present name where an earlier release wrote another one."""
    dataset_digest: str = ""
    """The first digits of the digest of the data set with its options and images; empty in records of earlier
    releases."""
    samples: str = ""
    """Digest of the test images with what degrades them (harness.records.labels.samples_digest): by it the test sets of
    a suite are found; empty in records of earlier releases."""
    condition: dict[str, Any] = Field(default_factory=dict)
    """The options of the task under which the suite that scored it first has this test set in columns of its own, as
    {"sigma": 15}; empty in most. It tells people what was scored: the columns of tables are those of each suite."""
    metrics: dict[str, str]
    """Version of each metric part that was computed, by name: raising it evaluates again."""
    images: int
    seconds: float
    """Wall time of the pass over the test set. Protocols that were scored in one pass share it."""
    mean: Literal["image", "scene"] = "image"
    """What the protocol averages."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Why each metric that could not be computed of some image is not on record, by name."""
    left_out_kinds: dict[str, FailureClass] = Field(default_factory=dict)
    """The class of each of these reasons that is not `data`, by name."""
    refused: dict[str, str] = Field(default_factory=dict)
    """Of the metrics that are left out because they refused an image: the digest of images, weights and metric, by
    name. As long as it is the same, the metric is not tried again."""
    overlap: str = ""
    """Which pictures of the test set the cell was trained on, where the suite that scored it allowed that."""
    warnings: tuple[str, ...] = ()
    """What readers of the values should know, such as a picture that the test set has twice."""


class RunRecord(Frozen):
    """The record of one cell. `trained` means that evaluations are still to come."""

    schema_version: Literal[1] = 1
    cell_id: str
    status: Literal["trained", "done", "failed"]
    labels: dict[str, str]
    cell: dict[str, Any]
    """The resolved cell, as harness.cells.cell.Cell dumps it."""
    provenance: Provenance
    training: Training | None = None
    evaluations: tuple[EvaluationRecord, ...] = ()
    images_sha256: str | None = None
    """Digest of images.parquet, so that a damaged one is noticed."""
    attempts: tuple[Attempt, ...] = ()
    failure: Failure | None = None
    sealed: str | None = None
    """Seal over all the rest (harness.core.identity), in the file alone. Records of earlier releases have none."""
