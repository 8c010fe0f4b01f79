"""The settings of the process that numbers depend on, and its random state, kept through the calls of parts.

A reading costs microseconds and no wait for a device. Not kept: the random states of Python and NumPy, whose reading
takes as long as a small layer, and from which nothing in this package draws outside a constructor.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import torch

from harness.core.errors import HarnessError
from harness.core.guests import in_main_thread

log = logging.getLogger(__name__)

_TOLD: set[str] = set()
"""Parts whose changes are in the log."""


class _Setting(NamedTuple):
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _legacy(read: Callable[[], Any]) -> Callable[[], Any]:
    """A reading that torch refuses after precision has been set through its newer names; then None."""

    def reading() -> Any:
        try:
            return read()
        except RuntimeError:
            return None

    return reading


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)


def _autocast(device: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: torch.is_autocast_enabled(device), lambda on: torch.set_autocast_enabled(device, on)


_CUDA = torch.backends.cuda
# Any: stubs see the modules, and not the objects that torch puts in their places
_CUDNN: Any = torch.backends.cudnn
_MATMUL: Any = torch.backends.cuda.matmul
_ONEDNN: Any = torch.backends.mkldnn
_MATMUL_PRECISION = _legacy(torch.get_float32_matmul_precision)
_LEAST = sys.float_info.min
"""The smallest number that is no denormal."""

_SETTINGS = (
    _Setting("number of threads", torch.get_num_threads, torch.set_num_threads),
    _Setting("default dtype", torch.get_default_dtype, torch.set_default_dtype),
    # torch.get_default_device takes ten times as long. Nothing else sets one: it would slow every call down.
    _Setting("default device", lambda: torch.empty(0).device, lambda _: torch.set_default_device(None)),
    _Setting("gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting("deterministic algorithms", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    # torch says of this one only what it has been set to, not what it is: halving tells
    _Setting("flush-denormal", lambda: _LEAST / 2 == 0.0, torch.set_flush_denormal),
    _Setting("autocast (CPU)", *_autocast("cpu")),
    _Setting("autocast (CUDA)", *_autocast("cuda")),
    _Setting("cudnn.enabled", *_attribute(_CUDNN, "enabled")),
    _Setting("cudnn.benchmark", *_attribute(_CUDNN, "benchmark")),
    _Setting("cudnn.deterministic", *_attribute(_CUDNN, "deterministic")),
    _Setting("mkldnn.enabled", *_attribute(_ONEDNN, "enabled")),
    _Setting("flash attention", _CUDA.flash_sdp_enabled, _CUDA.enable_flash_sdp),
    _Setting("memory-efficient attention", _CUDA.mem_efficient_sdp_enabled, _CUDA.enable_mem_efficient_sdp),
    _Setting("plain attention", _CUDA.math_sdp_enabled, _CUDA.enable_math_sdp),
    # The older names of precision first, because setting them sets the newer ones; of these, the parents first,
    # whose values the others inherit.
    _Setting("float32_matmul_precision", _MATMUL_PRECISION, torch.set_float32_matmul_precision),
    _Setting("cudnn.allow_tf32", _legacy(lambda: _CUDNN.allow_tf32), _attribute(_CUDNN, "allow_tf32")[1]),
    _Setting("fp32_precision", *_attribute(torch.backends, "fp32_precision")),
    _Setting("cuda.matmul.fp32_precision", *_attribute(_MATMUL, "fp32_precision")),
    _Setting("cudnn.fp32_precision", *_attribute(_CUDNN, "fp32_precision")),
    _Setting("cudnn.conv.fp32_precision", *_attribute(_CUDNN.conv, "fp32_precision")),
    _Setting("cudnn.rnn.fp32_precision", *_attribute(_CUDNN.rnn, "fp32_precision")),
    _Setting("mkldnn.matmul.fp32_precision", *_attribute(_ONEDNN.matmul, "fp32_precision")),
    _Setting("mkldnn.conv.fp32_precision", *_attribute(_ONEDNN.conv, "fp32_precision")),
    _Setting("mkldnn.rnn.fp32_precision", *_attribute(_ONEDNN.rnn, "fp32_precision")),
    _Setting("floating-point errors of numpy", np.geterr, lambda errors: np.seterr(**errors)),
)
"""Every setting is written only where it differs, in this order."""

_READERS = tuple(setting.read for setting in _SETTINGS)


@contextmanager
def kept_settings(who: str) -> Iterator[None]:
    """Puts back what a part changes of the settings of torch and numpy: they are the job's, and numbers depend on them.

    `who`: the part, for the log, which names it and the settings once. Raises HarnessError (kind `plugin`) for a change
    that cannot be undone.
    """
    before = [read() for read in _READERS]
    try:
        yield
    finally:
        if [read() for read in _READERS] != before:
            _tell(who, _differing(before))
            _put_back(before)
            if left := _differing(before):
                what = f"{who} leaves settings of torch that cannot be put back: {', '.join(left)}"
                raise HarnessError(
                    what, hint="leave settings as they are, and every context that is entered", kind="plugin"
                )


def _differing(before: list[Any]) -> list[str]:
    """The names of the settings that are others now."""
    return [setting.name for setting, value in zip(_SETTINGS, before, strict=True) if setting.read() != value]


def _put_back(before: list[Any]) -> None:
    for setting, value in zip(_SETTINGS, before, strict=True):
        if value is not None and setting.read() != value:
            with suppress(Exception):  # such as a default device under a context that has not been left
                setting.write(value)


@contextmanager
def kept_seed(who: str) -> Iterator[None]:
    """Undoes what a part does to torch's random state by seeding it, so that others go on drawing as if it had not.

    Draws of the part leave the state where they end. In the main thread alone, which is the one that draws and seeds.
    """
    before = [(each, each.initial_seed(), each.get_state()) for each in _generators()] if in_main_thread() else []
    try:
        yield
    finally:
        for generator, seed, state in before:
            if generator.initial_seed() != seed:
                generator.set_state(state)
                _tell(who, ["torch's random state (torch.manual_seed)"])


def _generators() -> list[torch.Generator]:
    if torch.cuda.is_initialized():
        return [torch.default_generator, torch.cuda.default_generators[torch.cuda.current_device()]]
    return [torch.default_generator]


def _tell(who: str, changed: list[str]) -> None:
    if who not in _TOLD:
        log.warning("%s changes settings of torch or numpy, which are put back: %s", who, ", ".join(changed))
        _TOLD.add(who)
