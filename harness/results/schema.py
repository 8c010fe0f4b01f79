"""The columns of the frames, with their types. `docs/results.md` explains each."""

from __future__ import annotations

import polars as pl

NAMES = {
    "cell": pl.String(),
    "task": pl.String(),
    "backbone": pl.String(),
    "variant": pl.String(),
    "seed": pl.Int64(),
}
"""The cell's id, and what tables call it."""

TREATMENT = {"refiner": pl.String(), "prior": pl.String(), "base": pl.String()}

COLUMN = {
    "dataset": pl.String(),
    "dataset_digest": pl.String(),
    "condition": pl.String(),
    "protocol": pl.String(),
    "protocol_digest": pl.String(),
    "metric": pl.String(),
}
"""What tables have a column for."""

IMAGE = {
    "image": pl.String(),
    "scene": pl.String(),
    "group": pl.String(),
    "mean": pl.String(),
    "value": pl.Float64(),
}
"""An image, the scene that it is of, the group of its test set that also has an average of its own (empty for most),
what its protocol averages (`image` or `scene`), and its value."""

LABEL = {"dataset_label": pl.String()}
"""What the suite calls the data set."""

CELLS = pl.Schema(
    {
        **NAMES,
        **TREATMENT,
        "placement": pl.String(),
        "regime": pl.String(),
        "features": pl.String(),
        "network": pl.String(),
        "configuration": pl.String(),
        "task_digest": pl.String(),
        "earlier": pl.Boolean(),
        "suites": pl.List(pl.String()),
        "listed": pl.Boolean(),
        "state": pl.String(),
        "reason": pl.String(),
        "steps": pl.Int64(),
        "training_images": pl.Int64(),
        "training_seconds": pl.Float64(),
        "final_loss": pl.Float64(),
        "prior_saw": pl.String(),
        "backbone_parameters": pl.Int64(),
        "added_parameters": pl.Int64(),
        "processes": pl.List(pl.Int64()),
        "strategy": pl.List(pl.String()),
        "machines": pl.List(pl.String()),
        "processor": pl.String(),
        "gpus": pl.List(pl.String()),
        "threads": pl.Int64(),
    }
)
"""One row per cell."""

IMAGES = pl.Schema({**NAMES, **TREATMENT, **LABEL, **COLUMN, **IMAGE})
"""One row per cell, data set, protocol, metric and image."""

COVERAGE = pl.Schema(
    {
        "cell": pl.String(),
        **LABEL,
        **COLUMN,
        "images": pl.Int64(),
        "reason": pl.String(),
        "overlap": pl.String(),
    }
)
"""One row per cell, data set, protocol and metric that a suite asks for."""

CURVES = pl.Schema(
    {
        **NAMES,
        "step": pl.Int64(),
        "loss": pl.Float64(),
        "lr": pl.Float64(),
        "images_per_s": pl.Float64(),
        "time": pl.Datetime("us", "UTC"),
    }
)
"""One row per logged step of a training."""

METRICS = pl.Schema(
    {
        "metric": pl.String(),
        "part": pl.String(),
        "label": pl.String(),
        "unit": pl.String(),
        "higher_is_better": pl.Boolean(),
        "decimals": pl.Int64(),
    }
)
"""One row per metric."""
