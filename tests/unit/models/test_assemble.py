from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from harness.api.reference import PartRef
from harness.cells.cell import Cell, Variant
from harness.core.errors import DataError, HarnessError
from harness.models.assemble import RestorationModel, build_model, start_from_base
from harness.models.weights import save_weights
from harness.parts.catalogue import REGISTRY
from harness.parts.refiners.skf.refiner import SKF
from tests import tiny_hrnet

NAFNET = PartRef(
    name="nafnet", options={"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1], "tlc": None}
)
RESTORMER = PartRef(name="restormer", options={"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1})
DIM = 6


def cell(backbone: PartRef | None = NAFNET, seed: int = 0, base: Cell | None = None, **variant: Any) -> Cell:
    task, train = PartRef(name="low_light"), PartRef(name="photos")
    return Cell(task=task, train=train, backbone=backbone, variant=Variant(**variant), seed=seed, base=base)


def refined(regime: str = "joint", **more: Any) -> Cell:
    return cell(refiner=PartRef(name="ptg_rm"), prior=PartRef(name="nss"), regime=regime, **more)


def build(of: Cell) -> RestorationModel:
    return build_model(of, REGISTRY, DIM if of.variant.refiner else None)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(2, 3, 16, 16), torch.nn.functional.normalize(torch.randn(2, DIM), dim=1)


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def train_step(model: RestorationModel) -> None:
    lq, prior = batch()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    restored = model(lq, prior)
    loss = restored.final.square().mean()
    if restored.initial_BCHW.requires_grad:
        loss = loss + restored.initial_BCHW.square().mean()
    loss.backward()
    optimizer.step()


def test_base_gives_the_initial_restoration_only() -> None:
    lq, _ = batch()
    restored = build(cell())(lq)
    assert restored.refined_BCHW is None
    assert restored.final.shape == lq.shape


def test_refiner_gets_both_images_and_the_prior() -> None:
    model, (lq, prior) = build(refined()), batch()
    restored = model(lq, prior)
    assert torch.equal(restored.initial_BCHW, model.backbone(lq))
    assert torch.equal(restored.final, model.refiner(lq, restored.initial_BCHW, prior))


def test_weights_depend_on_the_cell_alone() -> None:
    torch.manual_seed(1)
    first = build(refined())
    torch.manual_seed(2)
    assert equal(first, build(refined()))
    assert not equal(first, build(refined(seed=1)))


def test_random_state_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    build(refined())
    assert torch.equal(before, torch.random.get_rng_state())


def test_sizes_suit_backbone_and_refiner() -> None:
    assert build(cell()).size_multiple == 1
    assert build(refined()).size_multiple == 4
    assert build(refined(backbone=RESTORMER)).size_multiple == 8
    assert build(refined(backbone=RESTORMER)).capabilities.taps[-1] == "latent"


def test_parameter_counts_part_backbone_and_added() -> None:
    base, model = build(cell()), build(refined())
    own, added = model.parameter_counts()
    assert base.parameter_counts() == (own, 0)
    assert own + added == sum(parameter.numel() for parameter in model.parameters())
    assert added == 672_170 - 2 * 256 * (512 - DIM)


def test_joint_trains_both() -> None:
    model, before = build(refined()), build(refined())
    train_step(model)
    assert not equal(model.backbone, before.backbone)
    assert not equal(model.refiner, before.refiner)


@pytest.fixture
def base_checkpoint(tmp_path: Path) -> tuple[RestorationModel, Path]:
    base, path = build(cell()), tmp_path / "final.safetensors"
    train_step(base)
    save_weights(base, path)
    return base, path


@pytest.mark.parametrize("regime", ["from_base", "frozen"])
def test_start_from_base_takes_the_backbone(base_checkpoint: tuple[RestorationModel, Path], regime: str) -> None:
    base, path = base_checkpoint
    model = build(refined(regime, base=cell()))
    assert not equal(model.backbone, base.backbone)
    refiner = {key: value.clone() for key, value in model.refiner.state_dict().items()}
    start_from_base(model, path)
    assert equal(model.backbone, base.backbone)
    assert all(torch.equal(value, refiner[key]) for key, value in model.refiner.state_dict().items())
    train_step(model)
    assert equal(model.backbone, base.backbone) is (regime == "frozen")


def test_frozen_backbone_stays_fixed_in_training_mode() -> None:
    model, (lq, prior) = build(refined("frozen", base=cell())), batch()
    assert model.train().training
    assert not any(module.training for module in model.backbone.modules())
    assert all(module.training for module in model.refiner.modules())
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    restored = model(lq, prior)
    assert not restored.initial_BCHW.requires_grad
    assert restored.final.requires_grad
    model.eval()
    assert not any(module.training for module in model.modules())


def test_another_backbones_checkpoint_is_refused(base_checkpoint: tuple[RestorationModel, Path]) -> None:
    with pytest.raises(DataError, match="made for another Restormer") as caught:
        start_from_base(build(cell(RESTORMER)), base_checkpoint[1])
    assert caught.value.kind == "checkpoint"


def test_features_placement_edits_the_deepest_map_so_that_there_is_one_result() -> None:
    lq, prior = batch()
    model = build(refined(placement="features")).eval()
    assert model.taps == model.backbone.capabilities.taps[-1:]
    with torch.no_grad():
        first, second, alone = model(lq, prior), model(lq, -prior), model.backbone(lq)
    assert first.refined_BCHW is None
    assert first.final.shape == lq.shape
    assert not torch.equal(first.final, second.final), "the prior reaches the features"
    assert not torch.equal(first.final, alone), "the hook is gone after each pass"
    assert 0 < model.parameter_counts()[1] < 1_000_000


def test_features_placement_with_a_frozen_backbone_teaches_the_refiner_alone(
    base_checkpoint: tuple[RestorationModel, Path],
) -> None:
    model = build(refined("frozen", placement="features", base=cell()))
    start_from_base(model, base_checkpoint[1])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    train_step(model.train())
    changed = {key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"refiner"}


def of_decoder(folder: Path, **options: Any) -> RestorationModel:
    """Restormer with SKF in its decoder; the segmentation network is a tiny one."""
    refiner = PartRef(name="skf", options=tiny_hrnet.write(folder) | options)
    return build(cell(RESTORMER, refiner=refiner, placement="features"))


def runs(model: RestorationModel, *given: torch.Tensor | None) -> tuple[torch.Tensor, int]:
    """The restoration, and how often F ran for it."""
    calls: list[None] = []
    with model.backbone.register_forward_pre_hook(lambda *_: calls.append(None)):
        return model(*given).final, len(calls)


def test_a_second_pass_edits_the_same_image_by_the_first_result(tmp_path: Path) -> None:
    once, twice = of_decoder(tmp_path, passes=1).eval(), of_decoder(tmp_path).eval()
    assert equal(once, twice)
    lq = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        first, count = runs(once, lq)
        assert count == 1
        edits, _ = once.refiner.edits(first, None, None)
        for edit, tap in zip(edits, once.taps, strict=True):
            once.backbone.get_submodule(tap).register_forward_hook(lambda _module, _given, made, edit=edit: edit(made))
        second, count = runs(twice, lq)
    assert count == 2
    assert not torch.equal(first, second)
    torch.testing.assert_close(second, once.backbone(lq))


def test_a_first_pass_in_training_is_only_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, lq = of_decoder(tmp_path).train(), torch.rand(2, 3, 32, 32)
    final, count = runs(model, lq)
    assert count == 2
    final.square().mean().backward()
    twice = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    # What the first pass gave is a constant to the second.
    model.passes, refiner = 1, cast(SKF, model.refiner)
    with torch.no_grad():
        restored = model(lq).final
    monkeypatch.setattr(refiner, "edits", partial(refiner.edits, restored_BCHW=restored))
    model(lq).final.square().mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(twice[name], parameter.grad)


def test_where_the_truth_is_read_training_has_one_pass_and_use_has_two(tmp_path: Path) -> None:
    model = of_decoder(tmp_path, semantics="truth")
    assert model.reads_truth
    lq, truth = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert runs(model.train(), lq, None, truth)[1] == 1
    with torch.no_grad():
        assert runs(model.eval(), lq)[1] == 2


def test_a_refiner_for_images_only_is_refused_on_features() -> None:
    with pytest.raises(HarnessError, match=r"the refiner smg cannot be placed on 'features'(.|\n)*placement: image"):
        build(cell(refiner=PartRef(name="smg"), placement="features"))


def test_refiner_without_prior_is_refused() -> None:
    with pytest.raises(HarnessError, match="needs a prior"):
        build_model(refined(), REGISTRY, None)
    with pytest.raises(HarnessError, match="prior vectors"):
        build(refined())(batch()[0])


def test_input_cell_has_no_network() -> None:
    with pytest.raises(HarnessError, match="degraded input"):
        build(cell(None))


def test_checkpoint_holds_the_whole_model(tmp_path: Path) -> None:
    prefixes = {key.partition(".")[0] for key in build(refined()).state_dict()}
    assert prefixes == {"backbone", "refiner"}


def uretinex(regime: str | None = None, **options: Any) -> RestorationModel:
    backbone = PartRef(name="uretinex", options={"rounds": 1, **options})
    return build(cell(backbone) if regime is None else refined(regime, backbone=backbone))


def test_a_backbone_sees_the_truth_in_training_where_its_options_say_so() -> None:
    lq, truth = 0.1 * torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    model = uretinex(truth_trains=True)
    assert (model.reads_truth, model.reads_truth_at_test) == (True, False)
    assert "truth_decomposed" in model.train()(lq, None, truth).outputs
    with torch.no_grad():
        assert torch.equal(model.eval()(lq, None, truth).final, model(lq).final)
    blind = uretinex()
    assert (blind.reads_truth, blind.reads_truth_at_test) == (False, False)
    assert "truth_decomposed" not in blind.train()(lq, None, truth).outputs


@pytest.mark.parametrize("regime", [None, "joint", "frozen"])
def test_a_backbone_that_reads_the_truth_in_test_sees_it_always(regime: str | None) -> None:
    lq, truth = 0.1 * torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    model = uretinex(regime, ratio="truth")
    assert (model.reads_truth, model.reads_truth_at_test) == (True, True)
    prior = batch()[1] if regime else None
    for mode in (True, False):
        with torch.no_grad():
            model.train(mode)
            torch.testing.assert_close(model(lq, prior, truth).initial_BCHW, model.backbone(lq, truth))
            assert not torch.allclose(model(lq, prior, truth).initial_BCHW, model.backbone(lq))


def test_a_frozen_backbone_sees_in_training_what_it_sees_in_test() -> None:
    lq, truth = 0.1 * torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    model = uretinex("frozen", truth_trains=True).train()
    restored = model(lq, batch()[1], truth)
    assert "truth_decomposed" not in restored.outputs
    with torch.no_grad():
        torch.testing.assert_close(restored.initial_BCHW, model.backbone(lq))


def test_a_refiner_sees_no_truth_that_its_backbone_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SKF on URetinex-Net that reads the truth: two passes, in training as in use."""
    backbone = PartRef(name="uretinex", options={"rounds": 1, "ratio": "truth"})
    skf = PartRef(name="skf", options=tiny_hrnet.write(tmp_path))
    model = build(cell(backbone, refiner=skf, placement="features"))
    seen: list[Any] = []
    edits = cast(SKF, model.refiner).edits

    def watched(*given: Any) -> Any:
        seen.append(given[2])
        return edits(*given)

    monkeypatch.setattr(model.refiner, "edits", watched)
    lq, truth = 0.1 * torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    for mode in (True, False):
        with torch.no_grad():
            model.train(mode)(lq, None, truth)
    assert seen == [None] * 4
