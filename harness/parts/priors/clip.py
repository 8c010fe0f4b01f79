"""CLIP image embeddings through open_clip, from weights that lie on this machine.

Nothing is downloaded: planning asks `Clip.weights` which files are needed, and a cell without them is blocked, with the
command that gets them. This module imports no tensor library at its top, so that planning can ask.

open_clip itself prefers a converted copy on a model hub, of unknown digest, and reads what it downloads with
`torch.load(weights_only=True)`. That refuses the file that OpenAI released, which is a TorchScript archive. As loading
such an archive may run code that lies in it, one is opened only when its SHA-256 is a published one; all else is
read as safetensors or by PyTorch's restricted unpickler.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.parts import WeightFile
from harness.api.reference import LocalFile
from harness.core.errors import HarnessError, MissingWeights, did_you_mean
from harness.core.hub import weights_folder
from harness.core.identity import file_sha256

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1


@dataclass(frozen=True)
class Release:
    """A published file of weights: its name in the registry of checkpoints, and what its bytes must be."""

    checkpoint: str
    file: str
    sha256: str


RELEASES = {
    ("ViT-B-32-quickgelu", "openai"): Release(
        "clip/ViT-B-32-openai", "ViT-B-32.pt", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    ),
    ("ViT-B-16-quickgelu", "openai"): Release(
        "clip/ViT-B-16-openai", "ViT-B-16.pt", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"
    ),
    ("ViT-L-14-quickgelu", "openai"): Release(
        "clip/ViT-L-14-openai", "ViT-L-14.pt", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
    ),
}
"""Architecture and release tag of open_clip to the file. Source: open_clip 3.3.0, open_clip/pretrained.py, where the
folder in the address is the digest that its downloader checks."""


class Clip:
    """CLIP's image embedding (Radford et al. 2021), divided by its L2 norm; the paper's prior `c` is ViT-B/32's.

    `model`: architecture, by open_clip's name. OpenAI's weights need one with `-quickgelu`: their file loads into the
    plain one and gives other vectors. `pretrained`: open_clip's tag of the release that the weights are of; it also
    fixes the mean and standard deviation of the input. `checkpoint`: a file on this machine, in place of the release's
    own (safetensors, or a state dict by `torch.save`). `config`: with `checkpoint`, an architecture as open_clip writes
    it in JSON (`embed_dim`, `vision_cfg`, …), in place of `model` and `pretrained`.

    Images are made to fit as open_clip does it: shorter side resized to the network's (bicubic, antialiased, in float
    and not in 8 bits), then the central square. Square training tiles are thus seen whole; of a wide test image the
    ends are not seen, but it is never distorted, and the vectors are those that others get.
    """

    def __init__(
        self,
        *,
        model: str = "ViT-B-32-quickgelu",
        pretrained: str = "openai",
        checkpoint: LocalFile | None = None,
        config: LocalFile | None = None,
    ) -> None:
        files = Clip.weights(model=model, pretrained=pretrained, checkpoint=checkpoint, config=config)
        digests = [_verified(file) for file in files]
        architecture, self._mean, self._std = (
            (_read_config(Path(files[1].path)), *_openai_statistics()) if config else _known(model, pretrained)
        )
        self._network = _visual(architecture, Path(files[0].path), digests[0])
        self._size: tuple[int, int] = self._network.image_size
        self.dim: int = architecture["embed_dim"]

    @staticmethod
    def weights(
        *,
        model: str = "ViT-B-32-quickgelu",
        pretrained: str = "openai",
        checkpoint: LocalFile | None = None,
        config: LocalFile | None = None,
    ) -> tuple[WeightFile, ...]:
        """The files that these options need: the weights first, then the architecture file if there is one.

        Releases are expected under `$PRIORBENCH_WEIGHTS` (default `~/.cache/priorbench/weights`), in a folder a tag.
        Raises HarnessError for options that contradict each other and for releases whose address is not known here.
        """
        if config and not checkpoint:
            raise HarnessError(
                "`config` describes a file of your own", where="prior clip", hint="give `checkpoint` too"
            )
        if pretrained == "openai" and not config and not model.endswith("-quickgelu"):
            raise HarnessError(
                f"OpenAI's weights in {model!r} would give other vectors than CLIP's: they were trained with QuickGELU",
                where="prior clip",
                hint=f"model: {model}-quickgelu, or name the release that your checkpoint is of with `pretrained`",
            )
        if checkpoint:
            return tuple(_own(path) for path in (checkpoint, config) if path)
        release = RELEASES.get((model, pretrained))
        if release is None:
            known = ", ".join(f"{name} with {tag}" for name, tag in RELEASES)
            raise HarnessError(
                f"the file of {model!r}, release {pretrained!r}, is not known here",
                where="prior clip",
                hint=f"name your copy with `checkpoint: FILE`; known: {known}",
            )
        path = weights_folder() / pretrained / release.file
        return (WeightFile(release.file, str(path), f"bench weights fetch {release.checkpoint}", release.sha256),)

    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """RGB images of any size, clamped to [0, 1] here, to B×dim float32, L2-normalised."""
        import torch
        from torch.nn.functional import normalize

        with torch.no_grad():
            network = self._network.to(lq_BCHW.device)
            square_BCHW = _fit(lq_BCHW.float().clamp(0, 1), self._size)
            mean_C11 = square_BCHW.new_tensor(self._mean)[:, None, None]
            std_C11 = square_BCHW.new_tensor(self._std)[:, None, None]
            return normalize(network((square_BCHW - mean_C11) / std_C11).float(), dim=1)


def _own(path: str) -> WeightFile:
    place = Path(path).expanduser().absolute()
    return WeightFile(place.name, str(place), f"cp YOUR_COPY '{place}'")


def _verified(file: WeightFile) -> str:
    """SHA-256 of a file of weights. Raises MissingWeights when there is none, HarnessError when it is another file."""
    if not Path(file.path).is_file():
        raise MissingWeights(f"weights {file.name} are not on this machine", where=file.path, hint=file.fetch)
    found = file_sha256(file.path)
    if file.sha256 not in (None, found):
        raise HarnessError(
            f"this is not the released file: its SHA-256 is {found}, not {file.sha256}",
            where=file.path,
            hint=f"remove it and fetch it again: {file.fetch}",
            kind="weights",
        )
    return found


def _openai_statistics() -> tuple[tuple[float, ...], tuple[float, ...]]:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return OPENAI_DATASET_MEAN, OPENAI_DATASET_STD


def _read_config(path: Path) -> dict[str, Any]:
    """An architecture in open_clip's JSON, alone or as `model_cfg` of an `open_clip_config.json`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        architecture: dict[str, Any] = content.get("model_cfg", content)
        if not {"embed_dim", "vision_cfg"} <= architecture.keys():
            raise ValueError("it lacks embed_dim or vision_cfg")
    except (ValueError, AttributeError) as error:
        raise HarnessError(f"not an open_clip architecture: {error}", where=str(path), kind="weights") from error
    return architecture


def _known(model: str, pretrained: str) -> tuple[dict[str, Any], tuple[float, ...], tuple[float, ...]]:
    """Architecture, mean and standard deviation of a release that open_clip lists."""
    import open_clip

    architecture = open_clip.get_model_config(model)
    if architecture is None:
        names = open_clip.list_models()
        raise HarnessError(f"open_clip knows no model {model!r}", where="prior clip", hint=did_you_mean(model, names))
    release = open_clip.get_pretrained_cfg(model, pretrained)
    if not release:
        hint = did_you_mean(pretrained, open_clip.list_pretrained_tags_by_model(model))
        raise HarnessError(f"open_clip knows no release {pretrained!r} of {model!r}", where="prior clip", hint=hint)
    if release.get("quick_gelu", False) != architecture.get("quick_gelu", False):
        raise HarnessError(
            f"{pretrained!r} and {model!r} differ in their activation (QuickGELU or GELU): the vectors would be wrong",
            where="prior clip",
            hint=f"use {model.removesuffix('-quickgelu') if model.endswith('-quickgelu') else model + '-quickgelu'}",
        )
    if (release["interpolation"], release["resize_mode"]) != ("bicubic", "shortest"):
        raise HarnessError(
            f"{pretrained!r} of {model!r} wants its input prepared otherwise than CLIP", where="prior clip"
        )
    return architecture, release["mean"], release["std"]


def _visual(architecture: dict[str, Any], path: Path, sha256: str) -> Any:
    """The image half of a CLIP with the weights of a file, frozen, float32. Every one of its keys must be there."""
    import open_clip
    import torch

    fields = {
        name: value for name, value in architecture.items() if name not in ("text_cfg", "custom_text", "multimodal_cfg")
    }
    # The text half is never used: the smallest that open_clip builds spares memory, and a tokenizer's download.
    text = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}
    with torch.random.fork_rng(devices=[]):
        network = open_clip.CLIP(**fields, text_cfg=text).visual
    prefix = "visual."
    state = {
        key.removeprefix(prefix): value for key, value in _state_dict(path, sha256).items() if key.startswith(prefix)
    }
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise HarnessError(
            f"the weights are not of this architecture: {error}",
            where=str(path),
            hint="check `model`, or give the architecture with `config`",
            kind="weights",
        ) from error
    return network.float().eval().requires_grad_(False)


def _state_dict(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises HarnessError for files that are damaged or that would have to run code."""
    import pickle

    import torch
    from open_clip.factory import load_state_dict
    from safetensors import SafetensorError

    if _is_torchscript(path):
        if sha256 not in {release.sha256 for release in RELEASES.values()}:
            raise HarnessError(
                "a TorchScript archive can run code when it is loaded, and this one is not a known release",
                where=str(path),
                hint="save its state dict as safetensors on a machine where you trust it",
                kind="weights",
            )
        state: dict[str, Tensor] = torch.jit.load(path, map_location="cpu").state_dict()
        return state
    # What the unpickler raises on bytes that are no pickle depends on the bytes.
    unreadable = (RuntimeError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, StopIteration)
    try:
        state = load_state_dict(str(path), weights_only=True)
    except (*unreadable, SafetensorError, pickle.UnpicklingError) as error:
        raise HarnessError(
            f"not a file of tensors alone, or damaged ({type(error).__name__})",
            where=str(path),
            hint="save a state dict as safetensors, or with torch.save",
            kind="weights",
        ) from error
    return state


def _is_torchscript(path: Path) -> bool:
    """Whether a file is a zip archive with TorchScript code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def _fit(image_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Shorter side to the network's, then the central crop. Bicubic overshoot is cut back to [0, 1]."""
    from torch.nn.functional import interpolate

    height, width = image_BCHW.shape[-2:]
    grown = max(size[0], size[1] * height // width), max(size[1], size[0] * width // height)
    if grown != (height, width):
        image_BCHW = interpolate(image_BCHW, size=grown, mode="bicubic", antialias=True, align_corners=False).clamp(
            0, 1
        )
    top, left = round((grown[0] - size[0]) / 2), round((grown[1] - size[1]) / 2)
    return image_BCHW[..., top : top + size[0], left : left + size[1]]
