"""What a DeepSpeed configuration may say: keys that change speed, memory and messages, and no number of a training."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.core.errors import did_you_mean

AUTO = "auto"
SECTION = "zero_optimization"
DECIDED = (
    "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping",
    "optimizer", "fp16", "bf16", "bfloat16", "torch_autocast",
)  # fmt: skip
"""What the recipe decides. A file may leave it out, say `auto`, or say the same."""
_FOREIGN = {
    "amp": "precision is the recipe's",
    "scheduler": "the learning rate is the recipe's",
    "flops_profiler": "",
    "tensor_parallel": "weights are divided by ZeRO alone",
    "sequence_parallel_size": "weights are divided by ZeRO alone",
    "expert_parallel": "weights are divided by ZeRO alone",
    "compression_training": "it changes the network",
    "weight_quantization": "it rounds weights",
    "sparse_attention": "it changes the network",
    "data_efficiency": "batches are the recipe's",
    "curriculum_learning": "batches are the recipe's",
    "dataloader_drop_last": "batches are the recipe's",
    "eigenvalue": "",
    "progressive_layer_drop": "it changes the network",
    "elasticity": "batches are the recipe's",
    "hybrid_engine": "",
    "pipeline": "",
    "zenflow": "",
    "autotuning": "batches are the recipe's",
    "activation_checkpointing": "networks do not call it",
    "sparse_gradients": "",
    "prescale_gradients": "it rounds gradients otherwise",
    "disable_allgather": "",
    "tensorboard": "the run's tracker tells of it",
    "wandb": "the run's tracker tells of it",
    "csv_monitor": "the run's tracker tells of it",
    "comet": "the run's tracker tells of it",
    "zero_force_ds_cpu_optimizer": "the optimizer is torch's own",
    f"{SECTION}.zero_quantized_weights": "it rounds weights",
    f"{SECTION}.zero_quantized_nontrainable_weights": "it rounds weights",
    f"{SECTION}.zero_quantized_gradients": "it rounds gradients",
    f"{SECTION}.zenflow": "it changes what a step does",
    f"{SECTION}.cpu_offload": "it is offload_optimizer today",
    f"{SECTION}.cpu_offload_param": "it is offload_param today",
    f"{SECTION}.offload_optimizer.super_offload": "the optimizer is torch's own",
}
"""What may be turned off, or left to DeepSpeed, and not on; and why."""
_ONLY: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "communication_data_type": ((None, "fp32"), "gradients are exchanged as they are"),
    "data_types": ((None, {}, {"grad_accum_dtype": "fp32"}), "gradients are added up as they are"),
    "gradient_predivide_factor": ((1,), "it rounds gradients otherwise"),
    "gradient_allreduce_op": (("mean",), "the loss is a mean over the batch"),
    f"{SECTION}.zero_hpz_partition_size": ((0, 1), "weights could not be put together by name"),
    f"{SECTION}.mics_shard_size": ((-1, 0, 1), "weights could not be put together by name"),
    f"{SECTION}.offload_optimizer.ratio": ((1,), "the optimizer is torch's own"),
}
"""What has values that change nothing: those, and what another one would do. They are not handed on."""
_SAYS = (
    "zero_allow_untested_optimizer", "wall_clock_breakdown", "memory_breakdown", "dump_state", "disable_python_gc",
)  # fmt: skip
FLAGS = (
    "contiguous_gradients", "reduce_scatter", "use_multi_rank_bucket_allreduce", "allgather_partitions", "overlap_comm",
    "round_robin_gradients", "parameter_alignment", "ignore_unused_parameters", "memory_efficient_linear",
    "log_trace_cache_warnings", "enable_sanity_checks", "stage3_use_all_reduce_for_fetch_params",
    "stage3_allgather_sequential", "stage3_gather_16bit_weights_on_model_save",
)  # fmt: skip
COUNTS = (
    "reduce_bucket_size", "allgather_bucket_size", "sub_group_size", "stage3_prefetch_bucket_size",
    "stage3_param_persistence_threshold", "stage3_model_persistence_threshold", "stage3_max_live_parameters",
    "stage3_max_reuse_distance", "stage3_module_granularity_threshold",
)  # fmt: skip
_OFFLOADS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "offload_optimizer": (("pin_memory", "pipeline_read", "pipeline_write", "fast_init"), ("buffer_count",)),
    "offload_param": (("pin_memory",), ("buffer_count", "buffer_size", "max_in_cpu")),
}
"""Section → its flags, its counts."""
_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|\n')


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or value == AUTO


def _is_count(value: Any) -> bool:
    return value == AUTO or (type(value) in (int, float) and value >= 0 and value == value // 1)


def _is_size(value: Any) -> bool:
    return _is_count(value) and value != 0


def _is_any(value: Any) -> bool:
    return True


def _is_device(value: Any) -> bool:
    return value in ("none", "cpu", AUTO)


_KINDS: Mapping[Callable[[Any], bool], str] = {
    _is_flag: "true or false",
    _is_count: "a whole number, not negative",
    _is_size: "a whole number above 0",
}


def _allowed() -> dict[str, Callable[[Any], bool]]:
    """Name with its sections → what its value must be."""
    names: dict[str, Callable[[Any], bool]] = dict.fromkeys((*DECIDED, SECTION, f"{SECTION}.stage"), _is_any)
    names |= dict.fromkeys(_SAYS, _is_flag) | {"steps_per_print": _is_count}
    names |= {f"{SECTION}.{name}": _is_flag for name in FLAGS} | {f"{SECTION}.{name}": _is_count for name in COUNTS}
    names[f"{SECTION}.reduce_bucket_size"] = _is_size
    for section, (flags, counts) in _OFFLOADS.items():
        own = f"{SECTION}.{section}"
        names |= {own: _is_any, f"{own}.device": _is_device}
        names |= {f"{own}.{name}": _is_flag for name in flags} | {f"{own}.{name}": _is_count for name in counts}
    return names


_ALLOWED = _allowed()


def handed_on(own: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """What a configuration without mistakes says to DeepSpeed: without what the recipe decides and what is off."""
    kept: dict[str, Any] = {}
    for name, value in own.items():
        path = f"{within}{name}"
        if path in _ALLOWED and path not in DECIDED and value not in (AUTO, None):
            kept[name] = handed_on(value, f"{path}.") if isinstance(value, dict) else value
    return kept


def key_mistakes(own: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key with its sections, what is wrong with it, and what to try, of all keys that a file may not have so."""
    yield from _mistakes(own, "")


def is_on(value: Any) -> bool:
    """Whether a file asks for something, and does not leave it open or turn it off."""
    if isinstance(value, dict):
        return bool(value) and value.get("enabled", True) not in (False, AUTO)
    return value not in (None, False, AUTO, 0)


def _mistakes(own: Mapping[str, Any], within: str) -> Iterator[tuple[str, str, str]]:
    for name, value in own.items():
        path = f"{within}{name}"
        if path in _FOREIGN:
            if is_on(value):
                why = _FOREIGN[path]
                yield path, "is not supported" + (f" ({why})" if why else ""), "leave it out of the file"
        elif path in _ONLY:
            same, why = _ONLY[path]
            if value != AUTO and (isinstance(value, bool) or value not in same):
                yield path, f"is {json.dumps(value)}, which is not supported ({why})", "leave it out of the file"
        elif path not in _ALLOWED:
            yield path, "is none of the keys that a file may have", _nearest(name, within)
        else:
            yield from _value_mistakes(path, value)


def _value_mistakes(path: str, value: Any) -> Iterator[tuple[str, str, str]]:
    fits = _ALLOWED[path]
    section = path.removeprefix(f"{SECTION}.")
    if value is None or (path == SECTION and not isinstance(value, dict)):
        return
    if path == SECTION or (section in _OFFLOADS and isinstance(value, dict)):
        yield from _mistakes(value, f"{path}.")
    elif section in _OFFLOADS and value != AUTO:
        hint = f'"{section}": {{"device": "cpu"}}'
        yield f"{path}.device", f"is {json.dumps(value)}, and none or cpu is supported", hint
    elif not fits(value):
        tail = "and none or cpu is supported" if fits is _is_device else f"and must be {_KINDS[fits]}"
        yield path, f"is {json.dumps(value)}, {tail}", ""


def _nearest(name: str, within: str) -> str:
    known = {*_ALLOWED, *_FOREIGN, *_ONLY}
    beside = [path.removeprefix(within) for path in known if path.startswith(within)]
    return did_you_mean(name, [path for path in beside if "." not in path]) or "leave it out of the file"


def keys_in(text: str) -> Iterator[tuple[str, int]]:
    """Every key of a JSON text that is one, with its sections (`a.b`; items of a list by number), and its line from
    1; a key that is there twice comes twice."""
    line, path, fresh = 1, list[str | int](), ""
    for found in _KEY.finditer(text):
        token = found.group()
        if token == "\n":
            line += 1
        elif token.startswith('"'):
            fresh = token
        elif token == ":":
            path[-1] = str(json.loads(fresh))
            yield ".".join(map(str, path)), line
        elif token in "{[":
            path.append("" if token == "{" else 0)
        elif token in "}]":
            path.pop()
        elif isinstance(path[-1], int):
            path[-1] += 1


def repeated_keys(text: str) -> list[str]:
    """Keys that one section of a JSON text has more than once, but for those within such sections."""
    found = [path for path, count in Counter(path for path, _ in keys_in(text)).items() if count > 1]
    return [path for path in found if not any(path.startswith(f"{other}.") for other in found)]
