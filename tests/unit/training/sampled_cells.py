"""Cells drawn at random over networks, options, refiners, placements, losses and tiles; and one step of training each.

Small ones only: each trains one step in a fraction of a second on a CPU.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from torch.nn import functional

from harness.api.declaration import declaration
from harness.api.loss import Reads
from harness.api.reference import PartRef
from harness.cells.cell import RULES, Cell, Variant
from harness.cells.recipe import LossTerm, Recipe, Stage
from harness.core.errors import HarnessError
from harness.models.assemble import build_model
from harness.models.fits import check_fit
from harness.parts.catalogue import REGISTRY
from harness.training.objective import Images, build_objective
from harness.training.optim import build_optimizer
from harness.training.stages import choose_trained, spans

SMALL: dict[str, dict[str, list[Any]]] = {
    "nafnet": {
        "width": [2, 4, 5],
        "enc_blk_nums": [[1], [1, 1], [0, 1]],
        "dec_blk_nums": [[1], [1, 1]],
        "middle_blk_num": [0, 1],
    },
    "restormer": {
        "dim": [4, 6, 8],
        "num_blocks": [[1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 1]],
        "heads": [[1, 2, 4, 8], [1, 1, 1, 1], [3, 1, 2, 2]],
        "num_refinement_blocks": [0, 1],
    },
    "uformer": {"embed_dim": [4, 6], "depths": [[1] * 9, [1] * 7], "win_size": [4, 8]},
    "mprnet": {"n_feat": [4, 6], "scale_unetfeats": [2, 4]},
    "snr_net": {"nf": [8]},
    "zero_dce": {},
    "ruas": {},
    "sci": {},
    "drunet": {"nc": [[4, 4, 8, 8]], "nb": [1], "in_nc": [3, 4]},
    "llformer": {"dim": [4], "num_blocks": [[1, 1, 1, 1]]},
    "retinexformer": {"n_feat": [4, 8], "stage": [1]},
    "mirnet_v2": {"n_feat": [8, 10], "n_RRG": [1], "n_MRB": [1]},
    "smg_appearance": {},
    "enlightengan": {},
    "uretinex": {},
    "spair": {},
    "promptir": {"dim": [4, 8], "num_blocks": [[1, 1, 1, 1]], "num_refinement_blocks": [1]},
}

REFINERS: dict[str, dict[str, list[Any]]] = {
    "ptg_rm": {"width": [4, 6], "long_blocks": [1], "prior_hidden": [8], "prior_width": [4, 5]},
    "smg": {"size": [8, 16], "width": [4], "narrow": [0.1]},
}


def draw(number: int) -> Cell:
    """The cell of a number; the same on every machine. Many of them cannot be trained."""
    chosen = random.Random(number)
    backbone = _part("backbone", chosen.choice(sorted(SMALL)), SMALL, chosen)
    variant = Variant()
    if chosen.random() < 0.5:
        name = chosen.choice(["ptg_rm", "ptg_rm", *sorted(REFINERS)])
        traits = declaration(REGISTRY, "refiner", name).traits
        placement = chosen.choice(["image", "features"])
        losses = tuple(
            LossTerm(part=PartRef(name=use.name, options=dict(use.options)), weight=use.weight) for use in traits.losses
        )
        prior = PartRef(name="random", options={"dim": chosen.choice([1, 8]), "grid": chosen.choice([1, 1, 3])})
        variant = Variant(
            refiner=_part("refiner", name, REFINERS, chosen),
            prior=prior if traits.needs_prior else None,
            placement=placement,
            regime="joint",
            losses=losses,
            stages=tuple(Stage(steps=2, trains=tuple(f"refiner.{m}" for m in use.trains)) for use in traits.stages),
        )
    return Cell(
        task=PartRef(name="low_light"),
        train=PartRef(name="photos"),
        backbone=backbone,
        variant=variant,
        recipe=_recipe(backbone.name, chosen),
        rules=RULES,
    )


def _part(kind: str, name: str, small: dict[str, dict[str, list[Any]]], chosen: random.Random) -> PartRef:
    known = declaration(REGISTRY, kind, name).options
    options = {option: chosen.choice(values) for option, values in small[name].items() if option in known}
    return PartRef(name=name, options={option: _arguments(value) for option, value in options.items()})


def _arguments(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _recipe(backbone: str, chosen: random.Random) -> Recipe:
    own = [
        LossTerm(
            part=PartRef(name=use.name, options=dict(use.options)), weight=use.weight, refined_weight=use.refined_weight
        )
        for use in declaration(REGISTRY, "backbone", backbone).traits.losses
    ]
    names = [name for name in REGISTRY.names("loss") if not declaration(REGISTRY, "loss", name).traits.weights]
    other = [LossTerm(part=PartRef(name=name)) for name in chosen.sample(names, chosen.choice([1, 1, 2]))]
    plain = [LossTerm(part=PartRef(name="charbonnier"))]
    losses = tuple(chosen.choice([own or plain, plain, plain, other]))
    patch = chosen.choice([16, 20, 24, 32, 33, 48, 64])
    return Recipe(steps=2, batch=2, patch=patch, losses=losses, micro_batch=chosen.choice([None, None, 1]))


def train_one_step(cell: Cell) -> None:
    """One optimizer step of every stage, on random images, with the code that trains."""
    prior = cell.variant.prior
    shape = None
    if prior is not None:
        made = REGISTRY.load("prior", prior.name)(**prior.arguments)
        shape = made.shape if made.shape[1] > 1 else made.dim
    model = build_model(cell, REGISTRY, shape).train()
    check_fit(cell, model)
    trainable = {name for name, each in model.named_parameters() if each.requires_grad}
    for span in spans(cell):
        choose_trained(model, trainable, span.stage.trains)
        optimizer = build_optimizer(cell.recipe, model.named_parameters())
        objective = build_objective(cell, span.stage, REGISTRY, torch.device("cpu"), added=span.added)
        reads: frozenset[Reads] = objective.reads
        assert isinstance(span.stage.patch, int)
        for _ in range((span.stage.micro_batch and 2) or 1):
            size = span.stage.micro_batch or span.batch
            lq, gt, clean = torch.rand(3, size, 3, span.stage.patch, span.stage.patch)
            rows = None if prior is None else functional.normalize(torch.rand(size, made.dim), dim=1)
            paired = model.reads_truth or "pair" in reads
            images = Images(lq, gt if paired else None, clean if "unpaired" in reads else None)
            restored = model(lq, rows, *((gt,) if model.reads_truth else ()))
            objective(restored, images, step=1, share=1.0, ranks=1).backward()
            objective.train_adversaries(restored, images, step=1, share=1.0, ranks=1)
        optimizer.step()
    with torch.no_grad():
        side = model.capabilities.fitting(24)
        model.eval()(torch.rand(1, 3, side, side), None if prior is None else rows[:1])


def outcome(cell: Cell) -> BaseException | None:
    """What one step of training raises; None when it trains."""
    try:
        train_one_step(cell)
    except Exception as error:  # noqa: BLE001 - whatever ends a training
        return None if isinstance(error, HarnessError) and error.kind == "nan" else error
    return None
