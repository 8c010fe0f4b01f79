"""Official recipes are their authors': what they do to samples and weights, and the page that compares the two."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.recipes.presets import all_presets, find_preset, network_presets, networks

OFFICIAL = {preset.name: preset for preset in all_presets() if preset.entry != "proxy"}
ROW = r"^\| [^|`]+ \| `(\w+/\w+)` \| ([^|]+) \| ([^|]+) \|$"
PAGE = (Path(__file__).parents[3] / "docs" / "recipes.md").read_text(encoding="utf-8")
ROWS: list[tuple[str, str, str]] = re.findall(ROW, PAGE, re.M)
"""Preset, sources, and how far it is its authors'."""
WITHOUT_OFFICIAL = {network for network in networks() if set(network_presets(network)) == {"proxy"}}


@pytest.mark.parametrize(
    ("name", "mixup"),
    [
        # An epoch of SIDD's tiles is 96,000 / batch steps, and two of the authors mix from the sixth epoch on.
        ("restormer/gaussian_denoise", {"alpha": 1.2, "chance": 0.5, "per": "batch", "after": 0, "groups": 8}),
        ("mirnet_v2/low_light", {"alpha": 1.2, "chance": 0.5, "per": "batch", "after": 0, "groups": 8}),
        ("mprnet/real_denoise", {"alpha": 0.6, "chance": 1, "per": "sample", "after": 5 * 96_000 // 16, "groups": 1}),
        ("uformer/real_denoise", {"alpha": 1.2, "chance": 1, "per": "sample", "after": 5 * 96_000 // 32, "groups": 1}),
    ],
)
def test_samples_are_mixed_as_the_authors_mix_them(name: str, mixup: dict[str, object]) -> None:
    found = find_preset(name, None, None).recipe.mixup
    assert found is not None
    assert {field: getattr(found, field) for field in mixup} == mixup


def test_what_the_authors_do_to_samples_and_weights() -> None:
    ifan = find_preset("ifan/defocus", None, None).recipe
    assert (ifan.optimizer, ifan.weight_decay, ifan.betas, ifan.clip_grad) == ("radam", 0.01, (0.9, 0.999), 0.5)
    assert ifan.grain is not None
    assert ifan.scale is not None
    assert (ifan.grain.chance, ifan.grain.sigma**2) == (0.05, pytest.approx(0.005))
    assert (ifan.augment, ifan.grey, ifan.scale.chance, ifan.scale.least) == ("none", 0.3, 0.5, 0.7)
    for name in ("grl/gaussian_denoise", "grl/gaussian_denoise_tiny"):
        assert find_preset(name, None, None).recipe.weight_decay == 1e-4
    for name in ("uformer/real_denoise", "uformer/motion_blur"):
        assert find_preset(name, None, None).recipe.precision == "fp16"
    assert all(find_preset(f"uformer/{task}", None, None).recipe.mixup is None for task in ("motion_blur", "proxy"))
    tasks = ("motion_blur", "real_denoise")
    local = {task: find_preset(f"nafnet/{task}", None, None).backbone.get("tlc") for task in tasks}
    assert local == {"motion_blur": 256, "real_denoise": None}
    assert (find_preset("mprnet/motion_blur", None, None).gpus, find_preset("grl/proxy", None, None).gpus) == (4, 1)


@pytest.mark.parametrize(
    ("name", "quantise"),
    [
        ("promptir/gaussian_denoise", "floor"),
        ("restormer/gaussian_denoise", "none"),
        ("drunet/gaussian_denoise", "none"),
        ("grl/gaussian_denoise", "none"),
        ("grl/gaussian_denoise_tiny", "none"),
    ],
)
def test_the_data_of_the_authors(name: str, quantise: str) -> None:
    assert OFFICIAL[name].task == {"quantise": quantise}


def test_the_page_has_a_row_for_every_preset_of_the_authors() -> None:
    assert {name for name, *_ in ROWS} == set(OFFICIAL) | {f"{network}/proxy" for network in WITHOUT_OFFICIAL}
    assert {"spair"} == WITHOUT_OFFICIAL
    assert len(ROWS) == len({name for name, *_ in ROWS})
    assert all(source.strip() and verdict.endswith(".") for _, source, verdict in ROWS)


@pytest.mark.parametrize(("name", "verdict"), [(name, verdict) for name, _, verdict in ROWS if name in OFFICIAL])
def test_what_deviates_stands_in_the_preset_too(name: str, verdict: str) -> None:
    """And so does every number, option and file that the page names there."""
    begun, note = re.match(r"(Equal|Deviates:|As `\w+/\w+`)", verdict), OFFICIAL[name].note
    assert begun
    assert note or begun[0] == "Equal"
    own = verdict[begun.end() :]
    named = re.findall(r"`([^`/]+)`", own) + re.findall(r"\d[\d,.]*\d(?!-)", own.replace("`", ""))
    assert [text for text in named if text not in note] == []


@pytest.mark.parametrize("name", [name for name, *_ in ROWS if name in OFFICIAL])
def test_a_row_that_is_as_another_leads_to_one_that_says_how(name: str) -> None:
    verdicts = {name: verdict for name, _, verdict in ROWS}
    other = re.match(r"As `(\w+/\w+)`", verdicts[name])
    assert other is None or not verdicts[other[1]].startswith("As ")
