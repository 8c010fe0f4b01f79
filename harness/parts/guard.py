"""What parts give back, checked where it is used.

Every check costs microseconds and no wait for a device, so that it stands in hot loops. What a plug-in does wrong is of
the class `plugin`, and of a built-in part it is a `bug`.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from harness.api.backbone import Backbone, Capabilities
from harness.api.loading import load_part
from harness.api.prior import PriorDim
from harness.core.conduct import check_conduct
from harness.core.errors import HarnessError
from harness.core.guests import contained, fault, guest_place, is_guest
from harness.core.machine import is_of_machine
from harness.core.pixels import off_scale
from harness.core.registry import Registry
from harness.core.text import first_line
from harness.parts.settings import kept_seed, kept_settings


def made(registry: Registry, kind: str, name: str, *given: Any, **options: Any) -> Any:
    """A part, imported and constructed inside the boundary. Raises HarnessError (kind `plugin`) for what it raises."""
    with contained(), kept_settings(f"{kind} {name}"):
        found = load_part(registry, kind, name)
        with contained(owner=found):
            part = found(*given, **options)
    check_conduct()
    return part


def made_module(registry: Registry, kind: str, name: str, *given: Any, **options: Any) -> nn.Module:
    """As `made`, for parts that are modules of torch. Raises HarnessError for one that is none."""
    part = made(registry, kind, name, *given, **options)
    if not isinstance(part, nn.Module):
        made_by = load_part(registry, kind, name)  # what it gives may be of a class that is not its own
        raise fault(made_by, "is no nn.Module", "class Mine(nn.Module), with super().__init__() in its constructor")
    return part


def capabilities_of(backbone: nn.Module) -> Capabilities:
    """What a backbone says that it can do. Raises HarnessError for one that says nothing."""
    with contained(owner=backbone):
        found = cast(Backbone, backbone).capabilities
    if not isinstance(found, Capabilities):
        raise fault(backbone, f"has capabilities that are {_kind(found)}", "self.capabilities = Capabilities(…)")
    return found


@contextmanager
def called(part: object) -> Iterator[None]:
    """A block that calls one part and nothing else: what it raises is told as its fault, what it sets is put back."""
    who = type(part).__name__
    with contained(owner=part), kept_settings(who), kept_seed(who):
        yield
    check_conduct()


@contextmanager
def differentiated(*networks: nn.Module) -> Iterator[None]:
    """A block that computes gradients through networks: no code of theirs runs then, but their mistakes show."""
    try:
        yield
    except RuntimeError as error:
        modules = {type(module) for network in networks for module in network.modules()}
        guests = sorted((cls for cls in modules if is_guest(cls)), key=lambda cls: cls.__qualname__)
        if not guests or is_of_machine(error):
            raise
        names = " or ".join(cls.__name__ for cls in guests)
        what = f"the gradients through {names} cannot be computed: {first_line(str(error), 300)}"
        raise HarnessError(what, where=guest_place(guests[0]), kind="plugin") from error


def check_width(prior: object, dim: Any, shape: Any = None) -> PriorDim:
    """The width D that a prior says, or with `shape` that of its maps. Raises HarnessError for one that is none."""
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
        raise fault(prior, f"says that its vectors have {dim!r} numbers", "dim is a whole number from 1 on")
    if shape is None:
        return dim
    whole = isinstance(shape, tuple) and len(shape) == 3 and all(type(side) is int and side > 0 for side in shape)
    if not whole or math.prod(shape) != dim:
        hint = f"shape is (D, rows, columns), whole numbers whose product is dim, {dim}"
        raise fault(prior, f"says that its maps have the shape {shape!r}", hint)
    return int(shape[0]), int(shape[1]), int(shape[2])


def check_rows(prior: object, rows: Any, images_BCHW: Tensor, dim: int) -> Tensor:
    """A prior's vectors of a batch: B×D float32 on the images' device, an ordinary tensor of torch."""
    asked = f"{len(images_BCHW)}×{dim} float32"
    if type(rows) not in (Tensor, nn.Parameter):  # another class may do anything at the next use of its rows
        raise fault(prior, f"gives {_kind(rows)} and not a tensor {asked}")
    if rows.shape != (len(images_BCHW), dim):
        hint = f"encode gives one row an image, and `dim` numbers in it: {asked}"
        raise fault(prior, f"gives {_shape(rows)} for {_shape(images_BCHW)}, and its dim is {dim}", hint)
    if rows.dtype != torch.float32:
        raise fault(prior, f"gives {_type(rows)}", "return rows.float()")
    if rows.layout != torch.strided:
        raise fault(prior, f"gives its vectors as {_layout(rows)}", "return rows.to_dense()")
    if rows.device != images_BCHW.device:
        raise fault(prior, f"gives its vectors on {rows.device}, and the images are on {images_BCHW.device}")
    return rows


def check_derived(prior: object, rows: Any, number: int, width: int | None) -> np.ndarray:
    """The rows of a control, `number`×`width` and finite; None for a control that chooses its width."""
    if type(rows) is not np.ndarray or rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating):
        raise fault(prior, f"gives {_array(rows)}", f"derive gives floats, {number} rows")
    if len(rows) != number or rows.shape[1] < 1 or width not in (None, rows.shape[1]):
        asked = f"{number}×{width or 'D'}"
        raise fault(prior, f"gives {_shape(rows)} and not {asked}", "derive gives a row for every key")
    if not np.isfinite(rows).all():
        raise fault(prior, "gives a row that is not finite")
    return rows


def check_degraded(degradation: object, degraded: Any, clean: np.ndarray, key: str) -> np.ndarray:
    """A degraded image: floats of the clean image's shape, finite, white at 1. `key`: the image's, for messages.

    A plain array: others, such as masked ones, hold more than their pixels.
    """
    of = f"for image {key!r}"
    if type(degraded) is not np.ndarray or not np.issubdtype(degraded.dtype, np.floating):
        raise fault(degradation, f"gives {_array(degraded)} {of}", "return H×W×3 float32 with white at 1")
    if degraded.shape != clean.shape:
        raise fault(degradation, f"gives {_shape(degraded)} {of}, which is {_shape(clean)}", "keep the size")
    if not np.isfinite(degraded).all():
        raise fault(degradation, f"gives pixels that are not finite {of}")
    low, high = float(degraded.min()), float(degraded.max())
    if hint := off_scale(low, high, clean=False):
        raise fault(degradation, f"gives pixels from {low:.4g} to {high:.4g} {of}, and white is 1", hint)
    return degraded


def check_repeated(degradation: object, first: np.ndarray, again: np.ndarray) -> None:
    """Raises HarnessError when the same image and generator gave two results."""
    if not np.array_equal(first, again):
        hint = "take random numbers from the generator that it is given, and leave its own state as it is"
        raise fault(degradation, "gives another result for the same image and the same random numbers", hint)


def check_value(metric: object, value: Any) -> float:
    """A metric's number for one image. NaN and infinities are for its caller to judge."""
    number = isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool)
    if not number:
        raise fault(metric, f"gives {_array(value)} for one image", "return float(…)")
    try:
        return float(value)
    except OverflowError:
        what = "gives a whole number for one image that is too large for a float"
        raise fault(metric, what, "return float(…)") from None


def check_restored(network: object, restored: Any, like_BCHW: Tensor, channels: int) -> Tensor:
    """A network's restoration of a batch: `channels` floats a pixel, of the same size, precision and device.

    Under autocast of float32, or of the format that autocast computes in, as well.
    """
    if not isinstance(restored, Tensor):
        raise fault(network, f"gives {_kind(restored)} and not a tensor", "return the restored batch alone")
    if restored.shape != (len(like_BCHW), channels, *like_BCHW.shape[2:]):
        raise fault(network, f"gives {_shape(restored)} for {_shape(like_BCHW)}", "keep batch and size")
    if not restored.is_floating_point():
        raise fault(network, f"gives {_type(restored)} and not floats")
    if restored.layout != torch.strided:
        raise fault(network, f"gives its images as {_layout(restored)}", "return an ordinary tensor")
    if restored.device != like_BCHW.device:
        raise fault(network, f"gives its images on {restored.device}, and it got them on {like_BCHW.device}")
    if restored.dtype not in _precisions(like_BCHW):
        what = f"gives {_type(restored)} for {_type(like_BCHW)}"
        raise fault(network, what, "compute in the number format of the images that come in")
    return restored


def _precisions(images: Tensor) -> set[torch.dtype]:
    """The number formats that a network may give for images."""
    kind = images.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return {images.dtype}
    return {images.dtype, torch.float32, torch.get_autocast_dtype(kind)}


def check_edited(refiner: object, edited: Any, features_BChw: Tensor) -> Tensor:
    """A map of the backbone as a refiner has edited it: floats of the same shape, on the same device.

    Of any precision: F goes on in its own.
    """
    if not isinstance(edited, Tensor) or edited.shape != features_BChw.shape:
        found = _shape(edited) if isinstance(edited, Tensor) else _kind(edited)
        raise fault(refiner, f"edits a map {_shape(features_BChw)} to {found}", "keep the shape")
    if not edited.is_floating_point():
        raise fault(refiner, f"edits a map of floats to {_type(edited)}", "return floats")
    if edited.device != features_BChw.device:
        raise fault(refiner, f"edits a map on {features_BChw.device} to one on {edited.device}")
    return edited


def check_edits(refiner: object, found: Any, taps: int) -> tuple[Sequence[Callable[[Tensor], Tensor]], dict[str, Any]]:
    """What a refiner of decoder features does: a function for each of the `taps`, and what its losses read, by name."""
    hint = "return [a function of the map, one a decoder feature], {}"
    if not isinstance(found, tuple) or len(found) != 2:
        raise fault(refiner, f"gives {_kind(found)} as its edits", hint)
    edits, known = found
    if not isinstance(edits, Sequence) or not all(map(callable, edits)) or not isinstance(known, dict):
        raise fault(refiner, f"gives {_kind(edits)} and {_kind(known)} as its edits", hint)
    if len(edits) != taps:
        raise fault(refiner, f"gives {len(edits)} edits for {taps} decoder features", hint)
    return edits, known


def check_loss(loss: object, value: Any, *, learns: bool) -> Tensor:
    """A loss: a scalar of floats; with `learns` one that depends on the restoration."""
    if not isinstance(value, Tensor):
        raise fault(loss, f"gives {_kind(value)} and not a tensor", "return a scalar tensor")
    if value.ndim != 0 or not value.is_floating_point():
        raise fault(loss, f"gives {_shape(value) or 'one'} {_type(value)}", "return one float: .mean()")
    if learns and not value.requires_grad:
        hint = "compute it with torch from the restored images, without .detach(), .item() or no_grad"
        raise fault(loss, "has no gradient for the restored images", hint)
    return value


Versions = tuple[int, ...]


def versions_of(*tensors: Tensor | None) -> Versions:
    """How often each tensor has been changed in place, which shows whether a part has changed what it was given."""
    return tuple(0 if tensor is None or tensor.is_inference() else tensor._version for tensor in tensors)


def check_unchanged(part: object, before: Versions, *tensors: Tensor | None) -> None:
    """Raises HarnessError when a part has changed its inputs in place: others read them after it."""
    if versions_of(*tensors) != before:
        raise _changed(part)


Copies = tuple[Tensor | None, ...]


def copies_of(*tensors: Tensor | None) -> Copies:
    """The values of each tensor, which show also a change that torch does not count: through `.data` or `.numpy()`.

    These cost a pass over memory, and on a GPU a wait: for the first steps, not for hot loops.
    """
    return tuple(None if tensor is None or tensor.is_meta else tensor.detach().clone() for tensor in tensors)


def check_same(part: object, before: Copies, *tensors: Tensor | None) -> None:
    """Raises HarnessError when what a part was given has other values than `before` it was called."""
    for old, now in zip(before, tensors, strict=True):
        if old is not None and now is not None and not _equal(old, now.detach()):
            raise _changed(part)


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether all values are the same; NaN is like NaN, as it may be there before."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)


def _changed(part: object) -> HarnessError:
    return fault(part, "changes what it is given, which others read after it", "clone() them first")


def _layout(value: Tensor) -> str:
    return f"a {str(value.layout).removeprefix('torch.')} tensor"


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _array(value: Any) -> str:
    if isinstance(value, np.ndarray | Tensor):
        return f"a {type(value).__name__} of {_shape(value) or 'no axes'} {_type(value)}"
    return _kind(value)


def _shape(value: np.ndarray | Tensor) -> str:
    return "×".join(map(str, value.shape))


def _type(value: np.ndarray | Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
