"""Images of one size restored together, where that gives every one of them the very bits that it gets alone.

A GPU computes a batch in less time than its images one by one, but what counts is what an image gets alone. Two things
may differ in a batch. A network may look over it, or draw random numbers for it: one comparison would not tell, so only
networks go together that are known to do neither (`goes_apart`). And a GPU's libraries may sum in another order for
another batch size, which depends on sizes and not on what the images show: the first full batch of a size is computed
both ways and compared bit for bit; if they are not the same, images of that size go one by one.

Shape letters: B batch, H height, W width, C channels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness.api.backbone import Capabilities
from harness.api.task import Sides
from harness.core.garbage import empty_frames
from harness.core.guests import FAILURES, contained
from harness.core.machine import shortage
from harness.evaluation.infer import Seen, tile_side
from harness.models.assemble import RestorationModel

log = logging.getLogger(__name__)

MOST = 16
"""Images of a batch, at most."""
BYTES_A_PIXEL = 8192
"""Memory of the GPU that a pixel of a batch is taken to need: two thousand numbers, as a wide transformer has of it at
once. A guess, and no more is needed: a network that needs more runs out of memory, and gets half."""

Together = Callable[[Sequence[Seen], Sides | None], Tensor]
"""Images of one size, and the size at which the network sees them, to restored ones, B×H×W×C float32."""

OWN = "harness.parts."
"""How the names of the modules begin whose networks tests/contract holds to what harness.api says of them."""


class OnDevice(NamedTuple):
    """A restored image that is, or will soon be, on a device."""

    image_HWC: Tensor
    done: torch.cuda.Event | None = None
    """When the device has it; None on a CPU, which waits."""

    def fetched(self) -> np.ndarray:
        """The image on the host, H×W×C float32. Waits for it, and not for what the device does after it."""
        if self.done is None:
            return np.ascontiguousarray(self.image_HWC.cpu().numpy())
        with torch.cuda.stream(torch.cuda.Stream(self.image_HWC.device)):
            self.done.wait()
            return np.ascontiguousarray(self.image_HWC.cpu().numpy())


Outcome = OnDevice | BaseException
"""A restored image, or what the network raised for it."""


class Batches:
    """Restores images with one network. One thread alone may use it."""

    def __init__(self, together: Together, room: Callable[[Sides], int]) -> None:
        """`room`: how many images that the network sees at some size may be restored together."""
        self._together, self._room = together, room
        self._most: dict[object, int] = {}
        self._same: dict[object, bool] = {}

    def most(self, image: Seen, through: Sides | None) -> int:
        """How many images of the size of this one are restored together, from 1 on."""
        size = size_of(image, through)
        if size not in self._most:
            height, width = through or image.lq_HWC.shape[:2]
            self._most[size] = max(1, self._room((height, width)))
        return self._most[size]

    def restored(self, images: Sequence[Seen], through: Sides | None) -> list[Outcome]:
        """What came of every image, of which all have one size: exactly what comes of it alone."""
        size = size_of(images[0], through)
        batch = size, len(images)
        if len(images) == 1:
            return self._alone(images, through)
        if batch not in self._same:
            return self._compared(images, through)
        found = self._tried(images, through) if self._same[batch] else None
        return self._alone(images, through) if found is None else _on_device(found)

    def _compared(self, images: Sequence[Seen], through: Sides | None) -> list[Outcome]:
        """The images one by one, and whether a batch of so many may stand for them from now on."""
        alone = self._alone(images, through)
        restored = [each.image_HWC for each in alone if isinstance(each, OnDevice)]
        if len(restored) < len(alone):
            return alone  # the next batch of this size is compared
        device = restored[0].device
        # What the trial draws, if anything, is drawn again by the next image.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            together = self._tried(images, through)
        if together is not None:
            size = size_of(images[0], through)
            self._same[size, len(images)] = same = all(map(torch.equal, together, restored))
            height, width = images[0].lq_HWC.shape[:2]
            how = f"{len(images)} at a time" if same else "one by one: a batch gives other bits"
            log.info("images of height %d and width %d are restored %s", height, width, how)
            if not same:
                self._most[size] = 1
        return alone

    def _tried(self, images: Sequence[Seen], through: Sides | None) -> Tensor | None:
        """The images in one batch; None where that fails, which says nothing of a single one.

        For want of memory, further batches of this size have half as many images.
        """
        try:
            with contained():
                return self._together(images, through)
        except FAILURES as error:
            size = size_of(images[0], through)
            self._most[size] = len(images) // 2 if shortage(error) == "memory" else 1
            log.info("a batch of %d images is given up: %s", len(images), error)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _alone(self, images: Sequence[Seen], through: Sides | None) -> list[Outcome]:
        found: list[Outcome] = []
        for image in images:
            try:
                with contained():
                    found += _on_device(self._together([image], through))
            except FAILURES as error:
                if shortage(error) == "memory":  # its traceback would hold what filled it
                    empty_frames(error)
                found.append(error)
        return found


def goes_apart(model: RestorationModel) -> bool:
    """Whether an image that it restores is sure not to depend on the others of its batch.

    Backbones and refiners of the harness promise it (harness.api.backbone.Backbone, harness.api.refiner.Refiner), and
    tests/contract tries every one. Those of users may promise it, too, but nobody has tried.
    """
    networks = [each for each in (model.backbone, model.refiner) if each is not None]
    return all(type(each).__module__.startswith(OWN) for each in networks)


def room_for(model: RestorationModel, device: torch.device) -> Callable[[Sides], int]:
    """How many images of a size a network may be given at once on a GPU: one, unless it `goes_apart`."""
    return room_on(device, model.capabilities) if goes_apart(model) else lambda sides: 1


def room_on(device: torch.device, capabilities: Capabilities) -> Callable[[Sides], int]:
    """How many images of a size a network may be given at once, by the memory that a GPU has left now."""
    tile = tile_side(capabilities)

    def room(sides: Sides) -> int:
        free, _ = torch.cuda.mem_get_info(device)
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        height, width = sides
        seen = height * width if tile is None else min(height, tile) * min(width, tile)
        return max(1, min(MOST, free // (BYTES_A_PIXEL * seen)))

    return room


def size_of(image: Seen, through: Sides | None) -> tuple[object, ...]:
    """What images that are restored together agree in."""
    truth, prior = image.truth_HWC, image.prior_D
    shapes = (None if array is None else array.shape for array in (image.lq_HWC, prior, truth))
    return (*shapes, through)


def _on_device(restored_BHWC: Tensor) -> list[Outcome]:
    done = None
    if restored_BHWC.is_cuda:
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(restored_BHWC.device))
    return [OnDevice(image_HWC, done) for image_HWC in restored_BHWC]
