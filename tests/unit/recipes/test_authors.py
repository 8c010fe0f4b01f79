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
    ("name", "data"),
    [
        ("promptir/gaussian_denoise", {"quantise": "floor"}),
        ("restormer/gaussian_denoise", {"quantise": "none"}),
        ("restormer/gaussian_denoise_blind", {"sigma": (0, 50), "quantise": "none"}),
        ("drunet/gaussian_denoise", {"sigma": (0, 50), "quantise": "none"}),
        ("grl/gaussian_denoise", {"quantise": "none"}),
        ("grl/gaussian_denoise_tiny", {"quantise": "none"}),
    ],
)
def test_the_data_of_the_authors(name: str, data: dict[str, object]) -> None:
    assert OFFICIAL[name].task == data


@pytest.mark.parametrize(
    ("preset", "regions"),
    [
        ("restormer/motion_blur", (512, 256, None)),
        ("restormer/defocus", (512, 204, None)),
        ("restormer/defocus_dual_pixel", (512, 204, None)),
        ("restormer/gaussian_denoise", (512, 512 - 96, 800)),
        ("restormer/gaussian_denoise_blind", (512, 512 - 96, 800)),
        ("restormer/real_denoise", (512, 512 - 128, None)),
        ("mirnet_v2/real_denoise", (512, 512 - 128, None)),
        ("mirnet_v2/defocus_dual_pixel", (512, 204, None)),
        ("nafnet/motion_blur", (512, 256, None)),
        ("nafnet/real_denoise", (512, 384, None)),
        ("nafnet/real_denoise_width64", (512, 384, None)),
    ],
)
def test_sub_images_are_those_of_the_authors_scripts(preset: str, regions: tuple[int, int, int | None]) -> None:
    found = OFFICIAL[preset].recipe.regions
    assert found is not None
    assert (found.side, found.stride, found.above) == regions
    others = {name for name, each in OFFICIAL.items() if each.recipe.regions is not None}
    assert preset in others
    assert len(others) == 11


def test_whole_images_are_seen_at_the_authors_sizes() -> None:
    """SNR-Net, Retinexformer and PTG-RM read SID's frames as 960×512, LOL-v2-real's as 608×400 (width first)."""
    whole = {name: each.recipe.resize for name, each in OFFICIAL.items() if each.recipe.patch == "whole"}
    assert whole == {
        "ptg_rm/sid": (512, 960),
        "retinexformer/sid": (512, 960),
        "sci/low_light": None,
        "smg/low_light": (512, 512),
        "smg_appearance/low_light": (512, 512),
        "snr_net/lol_v2_real": (400, 608),
        "snr_net/sid": (512, 960),
        "zero_dce/low_light": (256, 256),
    }
    resized = {name for name, each in OFFICIAL.items() if each.recipe.resize} - set(whole)
    assert resized == {"retinexformer/smid"}


def test_crops_are_random_and_continued_where_the_authors_continue_them() -> None:
    presets = list(all_presets())
    assert {each.recipe.crop for each in presets} == {"random"}
    padded = {each.network for each in presets if each.recipe.pad == "reflect"}
    assert padded == {"grl", "llformer", "mirnet_v2", "mprnet", "nafnet", "restormer", "retinexformer"}


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
