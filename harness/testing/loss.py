"""What every training loss promises. Inherit the class in a test file and say how to make yours.

class TestMine(LossContract):
    def make(self):
        return Mine(eps=1e-3)

A loss that reads what a network's `outputs` gives says in `outputs` what that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.api.loss import LossInputs
from harness.testing import checks, shares
from harness.testing.inputs import chosen, detached, doubled, each, leaf, tensors
from harness.testing.part import PartContract

BATCH = 2
SEED = 3
NOISE = (0.02, 0.1, 0.3)
"""Standard deviations of growing noise on images in [0, 1]."""


class LossContract(PartContract):
    """A scalar that trains a network, through the restored image or through its other outputs."""

    kind = "loss"
    options: ClassVar[Mapping[str, Any]] = {}
    """The options that `make` sets and on which the traits depend, such as `reduction`."""
    sides: ClassVar[tuple[int, int]] = (64, 48)
    step: ClassVar[int] = 1200
    """The optimizer step, for losses that act only at every n-th step."""

    def make(self) -> Any:
        """A fresh loss, an nn.Module (harness.api.loss)."""
        raise NotImplementedError

    def outputs(self, lq_BCHW: Tensor) -> Mapping[str, Any]:
        """What the network's `outputs` gives for degraded images, beside `restored`; for losses that read it."""
        return {}

    @cached_property
    def part(self) -> Any:
        return type(self.fresh())

    def fresh(self) -> Any:
        """What `make` gives under the seed of these tests."""
        with _seeded():
            return self.make()

    def inputs(
        self, *, refined: bool = False, everything: bool = False, truth: int = 1, batch: int = BATCH
    ) -> LossInputs:
        """What the loss declares to read, and no more; or everything. `truth` chooses the truth."""
        reads = self.part.traits.reads
        lq, restored, gt, clean = (checks.images(batch, 3, *self.sides, seed=seed) for seed in (0, 2, truth, 3))
        with _seeded():
            outputs = each(self.outputs(lq), leaf)
        return LossInputs(
            restored_BCHW=restored.requires_grad_(),
            lq_BCHW=lq,
            gt_BCHW=gt if reads == "pair" or everything else None,
            clean_BCHW=clean if reads == "unpaired" or everything else None,
            outputs=outputs,
            step=self.step,
            refined=refined,
        )

    def value(self, loss: Any, inputs: LossInputs) -> Tensor:
        """The loss's value, with random draws at a fixed seed."""
        with _seeded():
            takes_images = self.part.traits.takes == "images"
            result: Tensor = loss(inputs.restored_BCHW, inputs.gt_BCHW) if takes_images else loss(inputs)
            return result

    def test_gives_a_scalar(self) -> None:
        """Gives a finite float32 scalar for float32 images, also for a refined one."""
        for refined in (False, True):
            value = self.value(self.fresh(), self.inputs(refined=refined))
            assert isinstance(value, Tensor), f"it gives a {type(value).__name__}, not a tensor"
            assert value.shape == (), f"it gives {checks.told(value)}, not a scalar"
            assert value.dtype == torch.float32, f"float32 images give {value.dtype}"
            assert value.isfinite(), f"it gives {value.item()}"

    def test_reads_what_it_declares(self) -> None:
        """Reads what its traits say and nothing else."""
        loss, reads = self.fresh(), self.part.traits.reads
        try:
            self.value(loss, self.inputs())
        except Exception as error:
            try:
                self.value(loss, self.inputs(everything=True))
            except Exception:  # noqa: BLE001 - then it is not for what it reads that it fails
                raise error from None
            what = f"reads={reads!r}, and it fails where there is nothing else ({type(error).__name__}: {error})"
            raise AssertionError(what) from error
        if reads == "degraded":
            return
        other = self.inputs(truth=5)
        if reads == "unpaired":
            other = replace(self.inputs(), clean_BCHW=checks.images(BATCH, 3, *self.sides, seed=5))
        same = self.value(loss, self.inputs()) == self.value(loss, other)
        if same and self.part.traits.adversary:
            with _seeded():
                first = loss.own_loss(detached(self.inputs()))
            with _seeded():
                same = first == loss.own_loss(detached(other))
        assert not same, f"reads={reads!r}, and other such images change nothing: the loader loads them in vain"

    def test_gradient_reaches_the_restoration(self) -> None:
        """Has a finite gradient to the restored image, or to what the network made beside it."""
        inputs = self.inputs()
        outputs = [tensor for tensor in tensors(inputs.outputs) if tensor.requires_grad]
        value = self.value(self.fresh(), inputs)
        assert value.requires_grad, "the result has no gradient: it may have been computed without, or made anew"
        found = torch.autograd.grad(value, [inputs.restored_BCHW, *outputs], allow_unused=True)
        reached = [gradient for gradient in found if gradient is not None]
        assert all(gradient.isfinite().all() for gradient in reached), "some gradients are not finite"
        assert any(gradient.any() for gradient in reached), "the gradient is zero everywhere"

    def test_gradient_is_finite_at_the_truth(self) -> None:
        """Has a finite gradient where the restored image equals the truth."""
        if self.part.traits.takes != "images":
            return
        truth = checks.images(BATCH, 3, *self.sides, seed=1)
        inputs = replace(self.inputs(), restored_BCHW=truth.clone().requires_grad_(), gt_BCHW=truth)
        (gradient,) = torch.autograd.grad(self.value(self.fresh(), inputs), inputs.restored_BCHW)
        assert gradient.isfinite().all(), "some gradients are not finite where both images are equal"

    def test_is_smallest_at_the_truth(self) -> None:
        """Is smallest where the restored image equals the truth."""
        if self.part.traits.takes != "images":
            return
        loss, truth = self.fresh(), checks.images(BATCH, 3, *self.sides, seed=1)
        noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(4))
        inputs = replace(self.inputs(), gt_BCHW=truth)
        values = {
            spread: self.value(loss, replace(inputs, restored_BCHW=truth + spread * noise)).item()
            for spread in (0.0, *NOISE)
        }
        seen = ", ".join(f"{value:.4g} at σ {spread:g}" for spread, value in values.items())
        assert values[0.0] == min(values.values()), f"with white noise added to the truth: {seen}"

    def test_reduction_is_as_declared(self) -> None:
        """Stays for a batch of twice the same images where it averages, and doubles where it sums."""
        loss, inputs, sums = self.fresh(), self.inputs(), self._sums()
        once, twice = self.value(loss, inputs).item(), self.value(loss, doubled(inputs, BATCH)).item()
        wanted = 2 * once if sums else once
        assert abs(twice - wanted) <= 1e-3 * max(abs(once), 1e-6), (
            f"reduction={'sum' if sums else 'mean'}, and {once:.6g} becomes {twice:.6g} for the same images twice"
        )

    def test_shares_of_a_batch_make_its_loss(self) -> None:
        """Is the mean, or the sum, of what it gives for parts of a batch, which several processes share."""
        inputs, sums = self._unlike(), self._sums()

        def compute(loss: Any, places: slice) -> list[Tensor]:
            own = chosen(inputs, places, shares.BATCH)
            values = [self.value(loss, own)]
            if self.part.traits.adversary:
                with _seeded():
                    values.append(loss.own_loss(detached(own)))
            return [value.detach() for value in values]

        found = shares.tried(self.fresh(), compute)
        for name, whole, *parts in zip(("", "own_loss: "), found.whole, *found.shares, strict=False):
            together = sum(parts) if sums else sum(parts) / len(parts)
            largest = max(abs(float(value)) for value in (whole, *parts))
            assert abs(float(together - whole)) <= 1e-3 * max(largest, 1e-6), (
                f"{name}reduction={'sum' if sums else 'mean'}, and {shares.BATCH} images give {whole:.6g}, their "
                f"{shares.RANKS} halves {together:.6g} {'together' if sums else 'on average'}: it looks at images "
                "together, or draws random numbers for its share. Average over images; take `mean_of_group` and "
                "`drawn` of harness.parts.ops.whole_batch; or train with recipe.micro_batch, if so many are meant"
            )
        shares.assert_buffers_alike(found, tolerance=1e-3)

    def _unlike(self) -> LossInputs:
        """A batch of which one half has far smaller errors than the other."""
        inputs = self.inputs(batch=shares.BATCH)
        gt = None if inputs.gt_BCHW is None else shares.exposed(inputs.gt_BCHW)
        away = inputs.restored_BCHW.detach() - (0 if gt is None else gt)
        restored = shares.exposed(away) + (0 if gt is None else gt)
        return replace(inputs, restored_BCHW=restored.requires_grad_(), gt_BCHW=gt)

    def _sums(self) -> bool:
        adds: bool = self.part.traits.sums(self.declared.filled(self.options))
        return adds

    def test_same_images_same_value(self) -> None:
        """Gives the same value again; what it draws comes from torch's generator of the CPU."""
        loss = self.fresh()
        first, again = self.value(loss, self.inputs()), self.value(loss, self.inputs())
        assert first == again, f"{first.item()!r}, and again {again.item()!r}"

    def test_leaves_its_inputs_alone(self) -> None:
        """Leaves its inputs unchanged."""
        inputs, before = self.inputs(), self.inputs()
        self.value(self.fresh(), inputs)
        for name in ("restored_BCHW", "lq_BCHW", "gt_BCHW", "clean_BCHW"):
            image, old = getattr(inputs, name), getattr(before, name)
            assert image is None or torch.equal(image, old), f"{name} has changed"
        pairs = zip(tensors(inputs.outputs), tensors(before.outputs), strict=True)
        assert all(torch.equal(tensor, old) for tensor, old in pairs), "the network's outputs have changed"

    def test_trains_nothing_unless_it_is_an_adversary(self) -> None:
        """Has no parameters that train, unless it is an adversary."""
        trained = [name for name, parameter in self.fresh().named_parameters() if parameter.requires_grad]
        if self.part.traits.adversary:
            assert trained, "adversary=True, and it has nothing to train"
        else:
            assert not trained, f"nothing trains {', '.join(trained[:5])}: freeze them with requires_grad_(False)"

    def test_adversary_says_how_it_trains(self) -> None:
        """Has the learning rate and the betas of its Adam, if it is an adversary."""
        if not self.part.traits.adversary:
            return
        loss = self.fresh()
        assert isinstance(loss.lr, float), f"lr = {loss.lr!r}"
        assert loss.lr > 0, f"lr = {loss.lr!r}"
        assert len(loss.betas) == 2, f"betas = {loss.betas!r}"

    def test_own_loss_trains_the_adversary(self) -> None:
        """Trains each of its networks by its own loss, if it is an adversary."""
        if not self.part.traits.adversary:
            return
        loss = self.fresh()

        def own() -> Tensor:
            with _seeded():
                value: Tensor = loss.own_loss(detached(self.inputs()))
            assert value.shape == (), f"own_loss gives {checks.told(value)}, not a scalar"
            assert value.isfinite(), f"own_loss gives {value.item()}"
            return value

        lost = set(checks.without_gradient(loss, own))
        trained = [name for name, parameter in loss.named_parameters() if parameter.requires_grad]
        # Single parameters may have no gradient: those that cancel out, or that images of another size use.
        reached = {name.partition(".")[0] for name in trained if name not in lost}
        idle = sorted({name.partition(".")[0] for name in trained} - reached)
        assert not idle, f"own_loss gives no gradient to {', '.join(idle)}"

    def test_models_loss_does_not_train_the_adversary(self) -> None:
        """Gives its own parameters no gradient from the loss of the model, if it is an adversary."""
        if not self.part.traits.adversary:
            return
        loss = self.fresh()
        self.value(loss, self.inputs()).backward()
        moved = [name for name, parameter in loss.named_parameters() if parameter.grad is not None]
        assert not moved, f"the loss of the model gives a gradient to {', '.join(moved[:5])}"
        trained = [name for name, parameter in loss.named_parameters() if parameter.requires_grad]
        assert trained, "after a call of the loss none of its parameters trains"


def _seeded() -> AbstractContextManager[None]:
    return checks.seeded(SEED)
