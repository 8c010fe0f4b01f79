"""CLIP image embeddings through open_clip, from weights that lie on this machine.

Nothing is downloaded: the traits name the files, and a cell without them is blocked, with the command that gets them.

open_clip itself prefers a converted copy on a model hub, of unknown digest, and reads what it downloads with
`torch.load(weights_only=True)`. That refuses the file that OpenAI released, which is a TorchScript archive. As loading
such an archive may run code that lies in it, one is opened only when its SHA-256 is a published one; all else is
read as safetensors or by PyTorch's restricted unpickler.

open_clip is imported when a prior is made, as that takes seconds: whoever only asks the class for its traits need not
wait for it.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness.api.prior import PriorTraits
from harness.api.reference import LocalFile
from harness.api.traits import Conflict, OwnFile, Published, Unless, When
from harness.core.errors import HarnessError, did_you_mean
from harness.core.identity import known_sha256
from harness.parts.priors.views import fit
from harness.parts.shared.formats import is_torchscript
from harness.weights.catalogue import known
from harness.weights.files import ready_files

QUICKGELU = (
    "RN50-quickgelu",
    "RN101-quickgelu",
    "RN50x4-quickgelu",
    "RN50x16-quickgelu",
    "RN50x64-quickgelu",
    "ViT-B-32-quickgelu",
    "ViT-B-16-quickgelu",
    "ViT-L-14-quickgelu",
    "ViT-L-14-336-quickgelu",
)
"""open_clip's names of the architectures of OpenAI's releases, with the activation that those were trained with."""


class Clip:
    """CLIP's image embedding (Radford et al. 2021), divided by its L2 norm; the paper's prior `c` is ViT-B/32's.

    `model`: architecture, by open_clip's name. OpenAI's weights need one with `-quickgelu`: their file loads into the
    plain one and gives other vectors. `pretrained`: open_clip's tag of the release that the weights are of; it also
    fixes the mean and standard deviation of the input. `checkpoint`: a file on this machine, in place of the release's
    own (safetensors, or a state dict by `torch.save`). `config`: with `checkpoint`, an architecture as open_clip writes
    it in JSON (`embed_dim`, `vision_cfg`, …), in place of `model` and `pretrained`.

    `view`: how an image that is not square meets the network, which sees squares (harness.parts.priors.views). Square
    crops are whole and not distorted in each of them.

    - `crop`, CLIP's own: of a wide test image the ends are not seen, but the vectors are those that others get.
    - `squash`: all is seen, with another ratio of its sides.
    - `pad`: all is seen, in its own ratio, smaller and between black borders.

    Neither the paper nor the released code says which. That code (models/Video_base_model8_cos11_final.py) gives CLIP
    the whole frame of 960×512 pixels in training and in test, as it is: neither resized nor cropped. The public `clip`
    package cannot do that with ViT-B/32, whose position embeddings are for 224×224 pixels alone; what the authors ran
    is not published. `features: image` comes nearest to it in training: crops get their whole image's vector.

    `tokens`: `class`, the image embedding, or `patches`, a map: the final token of every patch through the same norm
    and projection, divided by its own L2 norm (ViT-B/32: 512×7×7 numbers per image). A map has to span the whole image,
    so that it needs `view: squash`.

    Raises MissingWeights without the files, DataError or HarnessError (kind `weights`) for files that are damaged, not
    the published ones or of another architecture, HarnessError for options that contradict each other, and for
    `patches` of a network without patch tokens (ResNets, attention pools).
    """

    traits = PriorTraits(
        maps=When("tokens", "patches"),
        weights=(
            OwnFile("checkpoint"),
            OwnFile("config"),
            Published(
                "clip/ViT-B-32-openai",
                when=(When("checkpoint", None), When("model", "ViT-B-32-quickgelu"), When("pretrained", "openai")),
            ),
            Published(
                "clip/ViT-B-16-openai",
                when=(When("checkpoint", None), When("model", "ViT-B-16-quickgelu"), When("pretrained", "openai")),
            ),
            Published(
                "clip/ViT-L-14-openai",
                when=(When("checkpoint", None), When("model", "ViT-L-14-quickgelu"), When("pretrained", "openai")),
            ),
        ),
        conflicts=(
            Conflict(
                when=(When("tokens", "patches"), Unless("view", "squash")),
                what="patch tokens are a map of the whole image, and {view!r} leaves out ends or adds borders",
                hint="view: squash",
            ),
            Conflict(
                when=(Unless("config", None), When("checkpoint", None)),
                what="`config` describes a file of your own",
                hint="give `checkpoint` too",
            ),
            Conflict(
                when=(When("pretrained", "openai"), When("config", None), Unless("model", QUICKGELU)),
                what=(
                    "OpenAI's weights in {model!r} would give other vectors than CLIP's: "
                    "they were trained with QuickGELU"
                ),
                hint="model: {model}-quickgelu, or name the release that your checkpoint is of with `pretrained`",
            ),
        ),
    )

    def __init__(
        self,
        *,
        model: str = "ViT-B-32-quickgelu",
        pretrained: str = "openai",
        checkpoint: LocalFile | None = None,
        config: LocalFile | None = None,
        view: Literal["crop", "squash", "pad"] = "crop",
        tokens: Literal["class", "patches"] = "class",
    ) -> None:
        options = {
            "model": model,
            "pretrained": pretrained,
            "checkpoint": checkpoint,
            "config": config,
            "view": view,
            "tokens": tokens,
        }
        _refuse_unknown(options)
        weights, *described = ready_files(Clip.traits, options, "prior clip")
        architecture, self._mean, self._std = (
            (_read_config(described[0]), *_openai_statistics()) if described else _known(model, pretrained)
        )
        self._network = _visual(architecture, weights)
        self._size: tuple[int, int] = self._network.image_size
        self._view = view
        self._patches = tokens == "patches"
        rows, columns = _with_tokens(self._network) if self._patches else (1, 1)
        self.shape: tuple[int, int, int] = architecture["embed_dim"], rows, columns
        self.dim: int = prod(self.shape)

    @torch.no_grad()
    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """RGB images of any size, clamped to [0, 1] here, to B×dim float32, L2-normalised.

        Of patches: a flattened D×rows×columns map, whose position vectors all have the same length.
        """
        network = self._network.to(lq_BCHW.device)
        square_BCHW = fit(lq_BCHW.float().clamp(0, 1), self._size, self._view)
        # Made where the images are: a copy from the host would be waited for at every live call.
        mean_C11, std_C11 = (
            torch.stack([square_BCHW.new_full((1, 1), value) for value in values]) for values in (self._mean, self._std)
        )
        normed_BCHW = (square_BCHW - mean_C11) / std_C11
        if self._patches:
            map_BDP = F.normalize(_patch_vectors(network, normed_BCHW).float(), dim=1)
            return map_BDP.flatten(1) / map_BDP.shape[2] ** 0.5
        return F.normalize(network(normed_BCHW).float(), dim=1)


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """The check that a suite's options get when it is read, for callers from Python."""
    for name, hint in get_type_hints(Clip.__init__).items():
        if get_origin(hint) is Literal and options[name] not in get_args(hint):
            known_values = did_you_mean(str(options[name]), get_args(hint))
            raise HarnessError(f"{name} cannot be {options[name]!r}", where="prior clip", hint=known_values)


def _with_tokens(network: Any) -> tuple[int, int]:
    """Lets the network give its patch tokens beside the image embedding. Their rows and columns.

    HarnessError for networks whose image embedding is not the class token's.
    """
    from open_clip.transformer import VisionTransformer

    of_class_token = isinstance(network, VisionTransformer) and network.attn_pool is None and network.pool_type == "tok"
    if not of_class_token or network.final_ln_after_pool:
        raise HarnessError("this CLIP has no patch tokens beside a class token", hint="tokens: class")
    network.output_tokens = True
    rows, columns = network.grid_size
    return rows, columns


def _patch_vectors(network: Any, normed_BCHW: Tensor) -> Tensor:
    """The tokens of all patches in the space of the image embedding, B×D×P, row by row of the grid."""
    _, tokens_BPW = network(normed_BCHW)
    return (tokens_BPW @ network.proj).transpose(1, 2)


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
            f"{pretrained!r} of {model!r} wants its input prepared otherwise than CLIP",
            where="prior clip",
            hint="another release of it, or another model",
        )
    return architecture, release["mean"], release["std"]


def _visual(architecture: dict[str, Any], path: Path) -> Any:
    """The image half of a CLIP with the weights of a file, frozen, float32. Every one of its keys must be there."""
    import open_clip

    fields = {
        name: value for name, value in architecture.items() if name not in ("text_cfg", "custom_text", "multimodal_cfg")
    }
    # The text half is never used: the smallest that open_clip builds spares memory, and a tokenizer's download.
    text = {"context_length": 1, "vocab_size": 1, "width": 64, "heads": 1, "layers": 1}
    unbuildable = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError)
    try:
        with torch.random.fork_rng(devices=[]):
            network = open_clip.CLIP(**fields, text_cfg=text).visual
    except unbuildable as error:
        what = f"open_clip cannot build this architecture ({type(error).__name__}: {error})"
        raise HarnessError(what, where=str(path), hint="check `model` or the file `config`", kind="weights") from error
    prefix = "visual."
    state = {key.removeprefix(prefix): value for key, value in _state_dict(path).items() if key.startswith(prefix)}
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


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises HarnessError for files that are damaged or that would have to run code."""
    from open_clip.factory import load_state_dict

    if is_torchscript(path):
        if known_sha256(path) not in {checkpoint.sha256 for checkpoint in known() if checkpoint.part == "prior clip"}:
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
