"""What to write in a place of a suite where a value of another shape stands."""

from __future__ import annotations

from typing import Any

from harness.core.yaml import Path
from harness.spec.schema import AXES

_MAPPINGS = {
    "matrix": "matrix: {task: [NAME, NAME], backbone: [NAME, NAME]}",
    "zip": "zip: {task: [NAME, NAME], dataset: [NAME, NAME]}",
    "defaults": "defaults: {dataset: NAME, recipe: {steps: 1000}}",
    "run": "run: {cpus: 2}",
    "recipe": "recipe: {steps: 1000, batch: 8}",
    "base_recipe": "base_recipe: {steps: 1000}",
    "source": "source: {task: NAME, backbone: NAME}",
    "blocks": "- {task: NAME, backbone: NAME, variant: base}",
    "exclude": "- {task: NAME}",
    "stages": "- {steps: 1000}",
    "regions": "regions: {side: 512, stride: 256}",
    "test_options": "- {sigma: 25}",
}
_LISTS = {
    "blocks": "blocks: [{task: NAME, backbone: NAME}], or an item that begins with a dash",
    "seeds": "seeds: [0, 1, 2]",
    "exclude": "exclude: [{task: NAME}], or an item that begins with a dash",
    "test": "test: [NAME]",
    "test_options": "test_options: [{sigma: 15}, {sigma: 25}]",
    "metrics": "metrics: [psnr, ssim]",
    "protocols": "protocols: [NAME]",
    "losses": "losses: [l1, {name: ssim, weight: 0.5}]",
    "stages": "stages: [{steps: 1000}, {steps: 500}]",
    "betas": "betas: [0.9, 0.99]",
    "resize": "resize: [400, 608]",
}
_BARE = ("test", "metrics", "protocols", "losses")
"""Lists of which `[VALUE]` is right when the value stands alone."""
_SEVERAL = "several values stand in `matrix`: matrix: {%s: [..., ...]}"


def example(path: Path, what: str, value: Any) -> str:
    """What to try at a path of the file whose value has the wrong shape; empty when its mistake is another one.

    `what`: the mistake in words, which says what is expected.
    """
    words = [step for step in path if isinstance(step, str)]
    key = words[-1] if words else ""
    inside = bool(path) and isinstance(path[-1], int)
    if value is None and what.startswith("expected a "):
        return f"give it a value, indent what belongs to it, or remove {key}" if key and not inside else "remove it"
    if isinstance(value, list | tuple) and key in AXES and not inside and not {"matrix", "zip"} & set(words):
        return _SEVERAL % key
    if key == "crop" and isinstance(value, int | list | tuple):
        return "crop: random or crop: grid; its size is `patch`"
    if what.startswith("expected a mapping"):
        return f"write {_MAPPINGS[key]}" if key in _MAPPINGS else ""
    if what.startswith("expected at most") and isinstance(value, int):
        return f"{key} has too many digits" if value >= 10**9 else ""
    if what.startswith("expected a list"):
        known = _LISTS.get(key) if isinstance(value, dict) or key not in _BARE else None
        axis = f"{key}: [NAME, NAME]" if key in AXES and isinstance(value, dict) else None
        return f"write {known or axis}" if known or axis else ""
    return ""
