"""Labels of cells: short, and unique but for seeds."""

from __future__ import annotations

import pytest

from harness.cells.suite import ResolvedSuite


def labels(suite: ResolvedSuite, *, listed: bool = True) -> list[str]:
    found = [entry.labels for entry in suite.cells if entry.cell.backbone and entry.listed is listed]
    return list(dict.fromkeys(f"{label.task} | {label.backbone} | {label.variant}" for label in found))


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("backbone: [net]", ["denoise | net | base"]),
        ("backbone: [{name: net, width: 8}]", ["denoise | net | base"]),
        ("backbone: [net, {name: net, width: 8}]", ["denoise | net | base", "denoise | net(width=8) | base"]),
        (
            "backbone: [{name: net, blocks: [1], bias: false}, {name: net, width: 8, label: N8}, other]",
            ["denoise | net(blocks=[1], bias=false) | base", "denoise | N8 | base", "denoise | other | base"],
        ),
        (
            "task: [denoise, {name: denoise, sigma: 5}, {name: denoise, sigma: 0.5, label: weak}]",
            ["denoise | net | base", "denoise(sigma=5) | net | base", "weak | net | base"],
        ),
        (
            "variant: [base, {refiner: refine, prior: plain}, {refiner: refine, prior: {name: mixed, of: plain}}]",
            ["denoise | net | base", "denoise | net | refine+plain", "denoise | net | refine+mixed(plain)"],
        ),
        (
            "variant: [{refiner: refine, prior: plain, regime: from_base}, {refiner: refine, prior: plain, "
            "placement: features, features: image}, {refiner: refine, prior: plain, label: own}]",
            [
                "denoise | net | refine+plain from_base",
                "denoise | net | refine+plain @features prior:image",
                "denoise | net | own",
            ],
        ),
        (
            "variant: [{refiner: refine, prior: plain}, {refiner: {name: refine, head: residual}, prior: plain}]",
            ["denoise | net | refine+plain", "denoise | net | refine(head=residual)+plain"],
        ),
        (
            "variant: [{refiner: refine, prior: {name: mixed, of: plain}}, "
            "{refiner: refine, prior: {name: mixed, of: {name: plain, dim: 4}}}]",
            ["denoise | net | refine+mixed(plain)", "denoise | net | refine+mixed(plain(dim=4))"],
        ),
        (
            "variant: [{refiner: refine, prior: {name: learned, source: {task: rainy, backbone: net}}}, "
            "{refiner: refine, prior: {name: learned, source: {task: rainy, backbone: other}}}]",
            ["denoise | net | refine+learned(rainy/net)", "denoise | net | refine+learned(rainy/other)"],
        ),
        (
            "recipe: [{steps: 5}, {steps: 7, lr: 0.5}]",
            ["denoise | net | base [steps=5, lr=0.001]", "denoise | net | base [steps=7, lr=0.5]"],
        ),
        (
            "recipe: [{steps: 5, label: short}, {steps: 7, label: long}]",
            ["denoise | net | base [label=short]", "denoise | net | base [label=long]"],
        ),
        (
            "dataset: [pictures, {name: pictures, size: 9}]",
            [
                "denoise | net | base [size=4]",
                "denoise | net | base [size=9]",
            ],
        ),
        (
            "backbone: [{name: net, width: 1, label: N}, {name: net, width: 2, label: N}]",
            ["denoise | N | base [width=1]", "denoise | N | base [width=2]"],
        ),
    ],
)
def test_labels(world, axes: str, expected: list[str]) -> None:
    suite = world.blocks(f"- {{matrix: {{{axes}}}, seeds: [0, 1]}}")
    assert labels(suite) == expected
    rows = {(entry.labels, entry.cell.seed) for entry in suite.cells if entry.listed}
    assert len(rows) == len([entry for entry in suite.cells if entry.listed])


def test_a_required_cell_gives_way_to_a_listed_one(world) -> None:
    suite = world.blocks("""
        - matrix:
            variant: [base, {refiner: refine, prior: plain, regime: frozen, base_recipe: {steps: 5}}]
        """)
    assert labels(suite) == ["denoise | net | base", "denoise | net | refine+plain frozen"]
    assert labels(suite, listed=False) == ["denoise | net | base [steps=5]"]
