"""The prior `clip`: the real loading code, on a small CLIP in the formats that real ones come in."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from harness.api.declaration import declaration
from harness.api.traits import Published
from harness.api.weights import WeightFile
from harness.core.errors import HarnessError, MissingWeights
from harness.core.identity import file_sha256
from harness.core.registry import Registry
from harness.parts.catalogue import BUILT_IN
from harness.parts.priors import clip
from harness.parts.priors.clip import Clip
from harness.weights import catalogue
from harness.weights.catalogue import find
from harness.weights.files import needed_files
from tests.tiny_clip import ARCHITECTURE, build

DEFAULTS = {
    "model": "ViT-B-32-quickgelu",
    "pretrained": "openai",
    "checkpoint": None,
    "config": None,
    "view": "crop",
    "tokens": "class",
}


def files(**options: Any) -> tuple[WeightFile, ...]:
    """The files that the prior needs with these options."""
    return needed_files(Clip.traits, DEFAULTS | options, "prior clip")


class Visual(torch.nn.Module):
    """The image half under the name that CLIP files give it, so that it can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = build().visual
        self.register_buffer("input_resolution", torch.tensor(32))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.visual(image)


def torchscript(path: Path) -> Path:
    """A file like OpenAI's: TorchScript, with weights in half precision."""
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(Visual().eval(), torch.rand(1, 3, 32, 32), check_trace=False)
    traced.visual.conv1.half()
    torch.jit.save(traced, path)
    return path


def test_vectors_are_those_of_open_clips_own_model(options: dict[str, Any], tile: torch.Tensor) -> None:
    image = torch.nn.functional.interpolate(tile, size=(32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN)[:, None, None]
    std = torch.tensor(open_clip.OPENAI_DATASET_STD)[:, None, None]
    with torch.no_grad():
        expected = build().encode_image((image - mean) / std, normalize=True)
    prior = Clip(**options)
    row = prior.encode(tile)
    assert prior.dim == 24
    assert row.dtype == torch.float32
    assert torch.equal(row, expected)


def test_values_outside_the_range_are_clamped(options: dict[str, Any], tile: torch.Tensor) -> None:
    prior, wild = Clip(**options), tile * 3 - 1
    assert torch.equal(prior.encode(wild), prior.encode(wild.clamp(0, 1)))
    assert not torch.allclose(prior.encode(wild), prior.encode(tile), atol=1e-3)


def test_making_a_prior_leaves_the_random_state_alone(options: dict[str, Any]) -> None:
    before = torch.random.get_rng_state()
    Clip(**options)
    assert torch.equal(before, torch.random.get_rng_state())


def test_safetensors_and_open_clips_own_config_file(
    options: dict[str, Any], tile: torch.Tensor, tmp_path: Path
) -> None:
    path, config = tmp_path / "open_clip_model.safetensors", tmp_path / "open_clip_config.json"
    save_file(build().state_dict(), path)
    config.write_text(json.dumps({"model_cfg": ARCHITECTURE, "preprocess_cfg": {}}))
    assert torch.equal(Clip(checkpoint=str(path), config=str(config)).encode(tile), Clip(**options).encode(tile))


def test_a_published_torchscript_archive_is_opened(
    options: dict[str, Any], tile: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = torchscript(tmp_path / "ViT.pt")
    published = tmp_path / "catalogue.yaml"
    published.write_text(f"clip/tiny: {{part: prior clip, sha256: {file_sha256(path)}}}\n")
    monkeypatch.setattr(catalogue, "FILE", published)
    row = Clip(checkpoint=str(path), config=options["config"]).encode(tile)
    # The first layer came in half precision.
    assert torch.nn.functional.cosine_similarity(row, Clip(**options).encode(tile)).item() > 0.9999


def test_any_other_torchscript_archive_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    path = torchscript(tmp_path / "ViT.pt")
    with pytest.raises(HarnessError, match="can run code") as caught:
        Clip(checkpoint=str(path), config=options["config"])
    assert caught.value.kind == "weights"


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("ran",)


def test_a_file_that_would_run_code_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"visual.proj": Evil()}, path)
    with pytest.raises(HarnessError, match="not a file of tensors alone") as caught:
        Clip(checkpoint=str(path), config=options["config"])
    assert caught.value.kind == "weights"


@pytest.mark.parametrize("content", [b"", b"half a file"])
def test_a_damaged_file_is_refused(options: dict[str, Any], tmp_path: Path, content: bytes) -> None:
    for name in ("damaged.pt", "damaged.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(HarnessError, match="damaged"):
            Clip(checkpoint=str(tmp_path / name), config=options["config"])


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_every_key_of_the_image_half_must_fit(options: dict[str, Any], tmp_path: Path, change: str) -> None:
    state = build().state_dict()
    if change == "missing":
        del state["visual.proj"]
    elif change == "extra":
        state["visual.unknown"] = torch.zeros(1)
    else:
        # open_clip would silently interpolate position embeddings of another image size.
        state["visual.positional_embedding"] = torch.zeros(50, 32)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(HarnessError, match="not of this architecture") as caught:
        Clip(checkpoint=str(tmp_path / "other.pt"), config=options["config"])
    assert caught.value.kind == "weights"


def test_openai_weights_in_the_plain_architecture_are_refused() -> None:
    with pytest.raises(HarnessError, match="model: ViT-B-32-quickgelu"):
        files(model="ViT-B-32", pretrained="openai")


def test_other_releases_are_checked_against_open_clips_table(options: dict[str, Any]) -> None:
    with pytest.raises(HarnessError, match="differ in their activation"):
        Clip(model="ViT-B-32", pretrained="laion400m_e32", checkpoint=options["checkpoint"])
    with pytest.raises(HarnessError, match="knows no release"):
        Clip(model="ViT-B-32", pretrained="laion2b", checkpoint=options["checkpoint"])
    with pytest.raises(HarnessError, match="knows no model"):
        Clip(model="ViT-B-23", pretrained="laion2b", checkpoint=options["checkpoint"])


def test_the_expected_file_and_the_command_that_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path))
    (file,) = files()
    assert file.path == str(tmp_path / "openai" / "ViT-B-32.pt")
    assert file.sha256 == "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    assert file.fetch == "bench weights fetch clip/ViT-B-32-openai"
    with pytest.raises(MissingWeights, match="bench weights fetch"):
        Clip()
    Path(file.path).parent.mkdir()
    Path(file.path).write_bytes(b"an error page")
    with pytest.raises(HarnessError, match="not the published file"):
        Clip()


def test_the_table_agrees_with_open_clip() -> None:
    releases = [source for source in Clip.traits.weights if isinstance(source, Published)]
    assert len(releases) >= 3
    for release in releases:
        options = {condition.option: condition.value for condition in release.when}
        model, tag = options["model"], options["pretrained"]
        assert options == {"checkpoint": None} | find(release.id).options
        assert files(**options)[0].name == release.id
        assert open_clip.get_pretrained_cfg(model, tag)["url"] == find(release.id).url
        # The folder in the address is the digest that open_clip's downloader checks.
        assert find(release.id).sha256 in str(find(release.id).url)
        assert open_clip.get_model_config(model)["quick_gelu"]


def test_openais_releases_are_known_by_their_activation() -> None:
    theirs = [model for model, tag in open_clip.list_pretrained() if tag == "openai"]
    assert set(clip.QUICKGELU) == {model for model in theirs if model.endswith("-quickgelu")}
    assert all(open_clip.get_model_config(model)["quick_gelu"] for model in clip.QUICKGELU)


def test_a_users_own_files_and_their_mistakes(tmp_path: Path) -> None:
    own = files(checkpoint=str(tmp_path / "w.pt"), config=str(tmp_path / "c.json"))
    assert [(file.name, file.sha256) for file in own] == [("w.pt", None), ("c.json", None)]
    with pytest.raises(HarnessError, match="give `checkpoint` too"):
        files(config="c.json")
    with pytest.raises(HarnessError, match=r"no file is known for .*ViT-H-14.*laion2b_s32b_b79k"):
        files(model="ViT-H-14", pretrained="laion2b_s32b_b79k")
    (tmp_path / "w.pt").touch()
    (tmp_path / "c.json").write_text("[]")
    with pytest.raises(HarnessError, match="not an open_clip architecture"):
        Clip(checkpoint=str(tmp_path / "w.pt"), config=str(tmp_path / "c.json"))


@pytest.mark.parametrize("vision", [[], {"layers": "many"}, {"width": 33}, {"unheard_of": 1}, {"patch_size": 0}])
def test_an_architecture_that_open_clip_cannot_build(tmp_path: Path, vision: Any) -> None:
    own: Any = ARCHITECTURE["vision_cfg"]
    changed = {**own, **vision} if vision else vision
    (tmp_path / "c.json").write_text(json.dumps({**ARCHITECTURE, "vision_cfg": changed}))
    torch.save(build().state_dict(), tmp_path / "w.pt")
    with pytest.raises(HarnessError, match=r"open_clip cannot build|not of this architecture") as caught:
        Clip(checkpoint=str(tmp_path / "w.pt"), config=str(tmp_path / "c.json"))
    assert caught.value.kind == "weights"


def test_planning_may_ask_without_a_tensor_library() -> None:
    code = (
        "import sys; from harness.api.declaration import declaration;"
        "from harness.parts.catalogue import REGISTRY; from harness.weights.files import needed_files;"
        "declared = declaration(REGISTRY, 'prior', 'clip');"
        "options = {name: option.default for name, option in declared.options.items()};"
        "print(needed_files(declared.traits, options, 'prior clip')[0].name);"
        "assert not {'torch', 'open_clip', 'numpy'} & set(sys.modules), 'imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "clip/ViT-B-32-openai\n"


def test_the_catalogue_sees_its_options() -> None:
    declared = declaration(Registry(BUILT_IN), "prior", "clip")
    assert declared.traits.weights
    assert {name: option.default for name, option in declared.options.items()} == DEFAULTS
