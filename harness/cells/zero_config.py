"""DeepSpeed's configuration of one training: what the suite and its file say, and what the recipe decides over both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.cells.recipe import Recipe
from harness.cells.suite import DeepSpeed
from harness.core.errors import HarnessError

_WHERE = "run.deepspeed.config"
_BUCKET = 50_000_000
"""Numbers of gradients that are exchanged at once: 200 MB. DeepSpeed's own number is ten times as large."""
_AUTO = "auto"
_FOREIGN = {
    "amp": "precision is the recipe's",
    "scheduler": "the learning rate is the recipe's",
    "flops_profiler": "",
    "tensor_parallel": "weights are divided by ZeRO alone",
    "sequence_parallel_size": "weights are divided by ZeRO alone",
    "compression_training": "it changes the network",
    "data_efficiency": "batches are the recipe's",
    "curriculum_learning": "batches are the recipe's",
    "eigenvalue": "",
    "progressive_layer_drop": "it changes the network",
    "elasticity": "batches are the recipe's",
    "hybrid_engine": "",
    "pipeline": "",
    "zenflow": "",
}
"""Sections of a file that this package does not go with."""
_DECIDED = (
    "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping",
    "optimizer", "fp16", "bf16", "bfloat16", "torch_autocast",
)  # fmt: skip
"""What the recipe decides. A file may leave it out, say `auto`, or say the same."""
_NEITHER = ("zero_hpz_partition_size", "zero_quantized_weights", "zero_quantized_gradients", "mics_shard_size")
"""Ways of ZeRO-3 to divide that leave weights which cannot be put together by name."""


def zero_config(asked: DeepSpeed, recipe: Recipe, ranks: int) -> dict[str, Any]:
    """The configuration for DeepSpeed. Raises HarnessError that lists all that conflicts in the suite's file."""
    if asked.config is None:
        own: dict[str, Any] = {"zero_optimization": _divided(asked)}
    else:
        own = _content(asked.config)
        if found := zero_conflicts(asked, recipe, ranks):
            hint = "leave these out of the file, or write auto: the recipe decides them"
            raise HarnessError(f"it does not go with this training: {'; '.join(found)}", where=_WHERE, hint=hint)
    kept = {name: value for name, value in own.items() if name not in (*_DECIDED, *_FOREIGN)}
    zero = {name: value for name, value in kept["zero_optimization"].items() if value != _AUTO}
    return kept | {
        "zero_optimization": {"reduce_bucket_size": _BUCKET} | zero,
        # One micro-batch a call: the training adds up gradients, and says which one is the last.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "train_batch_size": ranks,
        "gradient_clipping": recipe.clip_grad or 0.0,
        "zero_allow_untested_optimizer": True,
        # torch's own optimizer, wherever its state lies: DeepSpeed's for CPUs rounds otherwise, and is compiled first.
        "zero_force_ds_cpu_optimizer": False,
    }


def config_text(path: str) -> str:
    """A file's configuration as JSON in one line, which stands in the resolved suite: machines need not see the file.

    Raises HarnessError for one that is no configuration of ZeRO.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise HarnessError(f"the DeepSpeed configuration {path} cannot be read: {reason}", where=_WHERE) from error
    return json.dumps(_content(text), sort_keys=True)


def zero_conflicts(asked: DeepSpeed, recipe: Recipe, ranks: int | None) -> list[str]:
    """What a suite's file says and this recipe does not. `ranks`: number of processes; None: it is not known yet."""
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
    try:
        content = json.loads(text)
    except ValueError as error:
        raise HarnessError(f"the DeepSpeed configuration is not JSON: {error}", where=_WHERE) from error
    section = content.get("zero_optimization") if isinstance(content, dict) else None
    stage = section.get("stage") if isinstance(section, dict) else None
    if isinstance(stage, bool) or stage not in (1, 2, 3):
        what = f"in the DeepSpeed configuration zero_optimization.stage is 1, 2 or 3, and not {json.dumps(stage)}"
        raise HarnessError(what, where=_WHERE, hint='"zero_optimization": {"stage": 2}')
    return dict(content)


def _conflicts(own: Mapping[str, Any], recipe: Recipe, ranks: int | None) -> Iterator[str]:
    for name, why in _FOREIGN.items():
        if _is_on(own.get(name)):
            yield f"{name} is not supported" + (f" ({why})" if why else "")
    yield from _sizes(own, recipe, ranks)
    yield from _precision(own, recipe)
    if _is_on(own.get("optimizer")):
        yield from _optimizer(own["optimizer"], recipe)
    section = own["zero_optimization"]
    for name in _NEITHER:
        if _is_on(section.get(name)) and section[name] not in (1, -1, False):
            yield f"zero_optimization.{name} is not supported"
    for name in ("offload_optimizer", "offload_param"):
        where = section.get(name) or {}
        device = where.get("device", "none") if isinstance(where, dict) else where
        if device not in ("none", "cpu", _AUTO) or not isinstance(where, dict):
            yield f"zero_optimization.{name}.device is {json.dumps(device)}, and none or cpu is supported"


def _is_on(value: Any) -> bool:
    """Whether a file asks for something, and does not leave it open or turn it off."""
    if isinstance(value, dict):
        return bool(value) and value.get("enabled", True) not in (False, _AUTO)
    return value not in (None, False, _AUTO, 0)


def _sizes(own: Mapping[str, Any], recipe: Recipe, ranks: int | None) -> Iterator[str]:
    clip = recipe.clip_grad or 0
    if (value := own.get("gradient_clipping", _AUTO)) not in (_AUTO, clip):
        shown = "null" if recipe.clip_grad is None else f"{recipe.clip_grad:g}"
        yield f"gradient_clipping is {json.dumps(value)}, and the recipe's clip_grad is {shown}"
    batches = {part.batch or recipe.batch for part in recipe.parts}
    if (value := own.get("train_batch_size", _AUTO)) != _AUTO and list(batches) != [value]:
        yield f"train_batch_size is {json.dumps(value)}, and the recipe's batch is {_shown(batches)}"
    if ranks is None:
        return
    cut = [((part.batch or recipe.batch) // ranks, part.micro_batch or recipe.micro_batch) for part in recipe.parts]
    pieces = {min(micro or share, share) for share, micro in cut}
    counts = {-(-share // min(micro or share, share)) for share, micro in cut}
    for name, own_numbers in (("train_micro_batch_size_per_gpu", pieces), ("gradient_accumulation_steps", counts)):
        value = own.get(name, _AUTO)
        if value != _AUTO and list(own_numbers) != [value]:
            yield f"{name} is {json.dumps(value)}, and by batch and micro_batch of the recipe {_shown(own_numbers)}"


def _precision(own: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    for name, means in (("fp16", "fp16"), ("bf16", "bf16"), ("bfloat16", "bf16"), ("torch_autocast", "bf16")):
        if _is_on(own.get(name)) and recipe.precision != means:
            yield f"{name} is on, and the recipe's precision is {recipe.precision}"


def _optimizer(section: Any, recipe: Recipe) -> Iterator[str]:
    kind = str(section.get("type", "")) if isinstance(section, dict) else str(section)
    if kind.lower() != recipe.optimizer:
        yield f"optimizer is {kind}, and the recipe's is {recipe.optimizer}"
        return
    same = {"lr": recipe.lr, "betas": list(recipe.betas), "weight_decay": recipe.weight_decay}
    params = section.get("params") if isinstance(section, dict) else None
    for name, value in params.items() if isinstance(params, dict) else ():
        if value != _AUTO and value != same.get(name, value):
            yield f"optimizer.params.{name} is {json.dumps(value)}, and the recipe says {json.dumps(same[name])}"


def _shown(numbers: set[int]) -> str:
    return " or ".join(str(number) for number in sorted(numbers))
