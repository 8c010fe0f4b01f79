"""DeepSpeed's configuration of one training: what the suite and its file say, and what the recipe decides over both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.cells.recipe import Recipe
from harness.cells.suite import DeepSpeed
from harness.cells.zero_keys import AUTO, SECTION, handed_on, is_on, key_mistakes, keys_in, repeated_keys
from harness.core.errors import HarnessError

_WHERE = "run.deepspeed.config"
_BUCKET = 50_000_000
"""Numbers of gradients that are exchanged at once: 200 MB. DeepSpeed's own number is ten times as large."""


def zero_config(asked: DeepSpeed, recipe: Recipe, ranks: int) -> dict[str, Any]:
    """The configuration for DeepSpeed. Raises HarnessError that lists all that conflicts in the suite's file."""
    if asked.config is None:
        own: dict[str, Any] = {SECTION: _divided(asked)}
    else:
        own = _content(asked.config)
        if found := zero_conflicts(asked, recipe, ranks):
            hint = "leave these out of the file"
            raise HarnessError(f"it does not go with this training: {'; '.join(found)}", where=_WHERE, hint=hint)
    kept = handed_on(own)
    return kept | {
        SECTION: {"reduce_bucket_size": _BUCKET} | kept[SECTION],
        # One micro-batch a call: the training adds up gradients, and says which one is the last.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "train_batch_size": ranks,
        "gradient_clipping": recipe.clip_grad or 0.0,
        "zero_allow_untested_optimizer": True,
        # torch's own optimizer, wherever its state lies: DeepSpeed's for CPUs rounds otherwise, and is compiled first.
        "zero_force_ds_cpu_optimizer": False,
    }


def config_file(path: str) -> tuple[str | None, list[tuple[str, str]]]:
    """A file's configuration as JSON in one line, which stands in the resolved suite: machines need not see the file.

    None where it is no configuration of ZeRO; and what is wrong with the file whatever the recipes are, each with what
    to try.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return None, [(f"the DeepSpeed configuration {path} cannot be read: {reason}", "")]
    found: list[tuple[str, str]] = []
    try:
        content = _json(text)
        lines = dict(reversed(list(keys_in(text))))
        name = Path(path).name
        for key in repeated_keys(text):
            found.append((f"{key} is there more than once ({name} line {lines[key]})", "remove all but one"))
        if isinstance(content, dict):
            for key, what, hint in key_mistakes(content):
                found.append((f"{key} {what} ({name} line {_line(lines, key)})", hint))
        return json.dumps(_of_zero(content), sort_keys=True), found
    except HarnessError as error:
        return None, [*found, (error.what, error.hint)]


def _line(lines: Mapping[str, int], key: str) -> int:
    """Where a key stands, or the section that should have it."""
    return lines.get(key) or _line(lines, key.rpartition(".")[0])


def zero_conflicts(asked: DeepSpeed, recipe: Recipe, ranks: int | None) -> list[str]:
    """What a suite's file says and this recipe does not. `ranks`: number of processes; None: it is not known yet."""
    if asked.config is None:
        return []
    keys = [f"{key} {what}" for key, what, _ in key_mistakes(_content(asked.config))]
    return keys + recipe_conflicts(asked, recipe, ranks)


def recipe_conflicts(asked: DeepSpeed, recipe: Recipe, ranks: int | None) -> list[str]:
    """Of those, what another recipe might say."""
    return list(_conflicts(_content(asked.config), recipe, ranks)) if asked.config is not None else []


def _divided(asked: DeepSpeed) -> dict[str, Any]:
    """The section of a suite that names no file."""
    section: dict[str, Any] = {"stage": asked.stage}
    if asked.offload != "none":
        section["offload_optimizer"] = {"device": "cpu", "pin_memory": False}
    if asked.offload == "all":
        section["offload_param"] = {"device": "cpu", "pin_memory": False}
    return section


def _content(text: str) -> dict[str, Any]:
    """A configuration that was read. Raises HarnessError for one that is none of ZeRO."""
    return _of_zero(_json(text))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"the DeepSpeed configuration is not JSON: {error}", where=_WHERE) from error


def _of_zero(content: Any) -> dict[str, Any]:
    section = content.get(SECTION) if isinstance(content, dict) else None
    stage = section.get("stage") if isinstance(section, dict) else None
    if isinstance(stage, bool) or stage not in (1, 2, 3):
        what = f"in the DeepSpeed configuration zero_optimization.stage is 1, 2 or 3, and not {json.dumps(stage)}"
        raise HarnessError(what, where=_WHERE, hint='"zero_optimization": {"stage": 2}')
    return dict(content)


def _conflicts(own: Mapping[str, Any], recipe: Recipe, ranks: int | None) -> Iterator[str]:
    yield from _sizes(own, recipe, ranks)
    yield from _precision(own, recipe)
    if is_on(own.get("optimizer")):
        yield from _optimizer(own["optimizer"], recipe)


def _sizes(own: Mapping[str, Any], recipe: Recipe, ranks: int | None) -> Iterator[str]:
    clip = recipe.clip_grad or 0
    if (value := own.get("gradient_clipping", AUTO)) not in (AUTO, clip):
        shown = "null" if recipe.clip_grad is None else f"{recipe.clip_grad:g}"
        yield f"gradient_clipping is {json.dumps(value)}, and the recipe's clip_grad is {shown}"
    batches = {part.batch or recipe.batch for part in recipe.parts}
    if (value := own.get("train_batch_size", AUTO)) != AUTO and list(batches) != [value]:
        yield f"train_batch_size is {json.dumps(value)}, and the recipe's batch is {_shown(batches)}"
    if ranks is None:
        return
    cut = [((part.batch or recipe.batch) // ranks, part.micro_batch or recipe.micro_batch) for part in recipe.parts]
    pieces = {min(micro or share, share) for share, micro in cut}
    counts = {-(-share // min(micro or share, share)) for share, micro in cut}
    for name, own_numbers in (("train_micro_batch_size_per_gpu", pieces), ("gradient_accumulation_steps", counts)):
        value = own.get(name, AUTO)
        if value != AUTO and list(own_numbers) != [value]:
            yield f"{name} is {json.dumps(value)}, and by batch and micro_batch of the recipe {_shown(own_numbers)}"


def _precision(own: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    for name, means in (("fp16", "fp16"), ("bf16", "bf16"), ("bfloat16", "bf16"), ("torch_autocast", "bf16")):
        if is_on(own.get(name)) and recipe.precision != means:
            yield f"{name} is on, and the recipe's precision is {recipe.precision}"


def _optimizer(section: Any, recipe: Recipe) -> Iterator[str]:
    kind = str(section.get("type", "")) if isinstance(section, dict) else str(section)
    if kind.lower() != recipe.optimizer:
        yield f"optimizer is {kind}, and the recipe's is {recipe.optimizer}"
        return
    same = {"lr": recipe.lr, "betas": list(recipe.betas), "weight_decay": recipe.weight_decay}
    params = section.get("params") if isinstance(section, dict) else None
    for name, value in params.items() if isinstance(params, dict) else ():
        if value != AUTO and value != same.get(name, value):
            yield f"optimizer.params.{name} is {json.dumps(value)}, and the recipe says {json.dumps(same[name])}"


def _shown(numbers: set[int]) -> str:
    return " or ".join(str(number) for number in sorted(numbers))
