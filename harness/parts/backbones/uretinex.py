"""URetinex-Net: W. Wu et al., "URetinex-Net: Retinex-Based Deep Unfolding Network for Low-Light Image Enhancement",
CVPR 2022. Our own code.

Written from a description of the network, and checked against sampled outputs.

An image I is the product of a reflectance R (B×3×H×W) and an illumination L (B×1×H×W). Three stages:

- decomposition gives the first estimates P of R and Q of L;
- unfolding refines both for some rounds. A round balances the data term ‖I − P·Q‖² against staying near the last R and
  L, in closed form, then two small networks give the next R and L;
- adjustment brightens L by a given ratio. The restored image is R times the brighter illumination.

The authors' training is public for the follow-up alone (github.com/AndersonYong/URetinex-Net-PLUS, model.py), their
test for this network too (github.com/AndersonYong/URetinex-Net, test.py and evaluate.py).
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Count, Factor
from harness.api.traits import LossUse, Rule, StageUse, When
from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.shared.retinex import bright_illumination

WIDTH = 32
SMALL = 1e-4
RATIO = 5.0
"""Stands in for the truth's ratio where no truth is given: when costs are measured, or taps are read."""


class Round(NamedTuple):
    """One round of the unfolding: P and Q that explain the image, then R and L from the networks."""

    explained_reflectance_B3HW: Tensor
    explained_illumination_B1HW: Tensor
    reflectance_B3HW: Tensor
    illumination_B1HW: Tensor


class URetinex(nn.Module):
    """Unfolded Retinex decomposition for low light; any image size. Unclamped: reflectance · adjusted illumination.

    - In round t (from 0), staying near the last reflectance has the weight `gamma` + t · `r_offset`, staying near the
      last illumination `lamda` + t · `l_offset`. `concat_l`: the illumination guides the reflectance network.
    - `ratio`: how many times brighter the illumination becomes. A number, for which the authors recommend 3 to 5.
      Or `truth`: in test too, the network is told how bright the true image is, as the authors' evaluate.py does for
      the numbers of their paper (1 / mean(L / L_truth)). No other network sees that, so tables mark its rows.
    - `truth_trains`: as the authors train. A second decomposition network learns the truth's reflectance, which is what
      the unfolding then aims at, and its illumination, which gives every training image its ratio. Without it both come
      from the truth's largest channel to the power of 1/2.2, at which that network aims, and the ratio in training is
      that of the test. It adds 20,548 parameters, which a test with `ratio: truth` alone reads. With a number as
      `ratio`, a refiner that trains together with it sees other exposures in training than in test.

    Defaults are the authors' otherwise. Raises HarnessError when there is no round, or a weight is not positive.
    """

    traits = BackboneTraits(
        # Shares for a training of any length. A refiner trains in the last part alone, so it is longer than the
        # authors', whose epochs are in the preset. The loss uretinex_features is left to presets: it needs a file.
        stages=(
            StageUse(0.4, trains=("decomposition",), losses=(LossUse("uretinex_decomposition"),)),
            StageUse(0.4, trains=("reflectance", "illumination"), losses=(LossUse("uretinex_unfolding"),)),
            StageUse(0.2, trains=("adjustment",), losses=(LossUse("uretinex_adjustment"),)),
        ),
        reads_truth=When("truth_trains", True),
        reads_truth_at_test=When("ratio", "truth"),
        taps=True,
        decoder=True,
        outputs=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="URetinex-Net, CVPR 2022",
        verified=True,
        rules=(
            Rule(
                "gamma + r_offset * (rounds - 1) > 0",
                "the weight of the reflectance stays positive: `gamma`, and `r_offset` more in each of the `rounds`",
            ),
            Rule(
                "lamda + l_offset * (rounds - 1) > 0",
                "the weight of the illumination stays positive: `lamda`, and `l_offset` more in each of the `rounds`",
            ),
        ),
    )

    official = OfficialNames(
        parts={
            "model_Decom_low": "decomposition",
            "model_Decom_high": "decomposition.truth",
            "decom": "",
            "model_R": "reflectance",
            "model_L": "illumination",
            "adjust_model": "adjustment",
            "se_layer": "excite",
            "fc": "",
        }
    )

    def __init__(
        self,
        *,
        rounds: Count = 3,
        gamma: Factor = 0.5,
        lamda: Factor = 0.5,
        r_offset: float = 0.05,
        l_offset: float = 0.05,
        concat_l: bool = True,
        ratio: Factor | Literal["truth"] = 5.0,
        truth_trains: bool = False,
    ) -> None:
        super().__init__()
        self.traits.require(locals())
        self.weights_RL = [(gamma + r_offset * t, lamda + l_offset * t) for t in range(rounds)]
        if not self.weights_RL or min(gamma, lamda) <= 0:
            raise HarnessError("uretinex takes one round or more, and positive weights: `gamma`, `lamda`")
        self.ratio = ratio
        self.capabilities = Capabilities(
            taps=("decomposition.5", "adjustment.relu3"),
            # The adjustment runs once per pass, after the unfolding, and decides what the result looks like.
            decoder=("adjustment.relu1", "adjustment.relu2", "adjustment.relu3"),
        )
        self.decomposition = Decomposition(with_truth=truth_trains)
        self.reflectance = ReflectanceNetwork(guided=concat_l)
        self.illumination = _chain((1, WIDTH, WIDTH, WIDTH, WIDTH), last_kernel=1)
        self.adjustment = _chain((2, WIDTH, WIDTH, WIDTH), last_kernel=5)

    def forward(self, lq_BCHW: Tensor, truth_BCHW: Tensor | None = None) -> Tensor:
        """Low-light images in [0, 1] to the initial restoration, at the ratio of the truth where one is given, else at
        that of the options.
        """
        *_, reflectance, illumination = self.unfold(lq_BCHW)[-1]
        return self.adjust(illumination, self._ratio(illumination, self._light(truth_BCHW))) * reflectance

    def outputs(self, lq_BCHW: Tensor, truth_BCHW: Tensor | None = None) -> dict[str, Any]:
        """The restoration, and what its stages made for their losses."""
        rounds = self.unfold(lq_BCHW)
        *_, reflectance, illumination = rounds[-1]
        truth = self.decomposition.truth
        parts = None if truth is None or truth_BCHW is None else truth.split(truth_BCHW)
        light = self._light(truth_BCHW) if parts is None else parts[1]
        high = self.adjust(illumination, self._ratio(illumination, light))
        return {
            "restored": high * reflectance,
            "reflectance": reflectance,
            "illumination": illumination,
            "high_illumination": high,
            "rounds": rounds,
            "decomposed": rounds[0][:2],
            **({} if parts is None else {"truth_decomposed": parts}),
        }

    def decompose(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """First estimates of reflectance and illumination, not negative."""
        return self.decomposition.split(image_B3HW)

    def _light(self, truth_BCHW: Tensor | None) -> Tensor | None:
        """The illumination of bright images, B×1×H×W."""
        if truth_BCHW is None:
            return None
        if self.decomposition.truth is not None:
            return self.decomposition.truth.split(truth_BCHW)[1]
        return bright_illumination(truth_BCHW)

    @torch.no_grad()
    def _ratio(self, illumination_B1HW: Tensor, light_B1HW: Tensor | None) -> float | Tensor:
        """One number, or with the illumination of the truth one per image (B)."""
        if light_B1HW is None:
            return RATIO if self.ratio == "truth" else self.ratio
        darker_B = (illumination_B1HW / (light_B1HW + SMALL)).mean((1, 2, 3))
        return 1 / (darker_B + SMALL)

    def unfold(self, image_B3HW: Tensor) -> list[Round]:
        """Every round; the last has the reflectance and the illumination of the image."""
        explained_R, explained_L = self.decompose(image_B3HW)
        rounds: list[Round] = []
        for weight_R, weight_L in self.weights_RL:
            if rounds:
                *_, R, L = rounds[-1]
                explained_R = (image_B3HW * explained_L + weight_R * R) / (explained_L.square() + weight_R)
                product = (image_B3HW * explained_R).sum(1, keepdim=True)
                energy = explained_R.square().sum(1, keepdim=True)
                explained_L = (product + weight_L * L) / (energy + weight_L)
            networks = self.reflectance(explained_R, explained_L), self.illumination(explained_L)
            rounds.append(Round(explained_R, explained_L, *networks))
        return rounds

    def adjust(self, illumination_B1HW: Tensor, ratio: float | Tensor) -> Tensor:
        """A brighter illumination, not negative. `ratio`: one number, or one per image (B)."""
        if isinstance(ratio, Tensor):
            ratio_B1HW = ratio.to(illumination_B1HW.dtype).view(-1, 1, 1, 1).expand_as(illumination_B1HW)
        else:
            ratio_B1HW = torch.full_like(illumination_B1HW, ratio)
        return self.adjustment(torch.cat([illumination_B1HW, ratio_B1HW], 1))


class Decomposition(nn.Sequential):
    """An image to four maps that are not negative: its reflectance and its illumination.

    `with_truth`: under the name `truth`, the same network for bright images, which is trained beside it.
    """

    truth: Decomposition | None

    def __init__(self, *, with_truth: bool = False) -> None:
        super().__init__(
            *(layer for channels in (3, WIDTH, WIDTH) for layer in (_conv(channels, WIDTH), nn.LeakyReLU(0.2))),
            *_alive(_conv(WIDTH, 4)),
        )
        self.layers = len(self)
        self.register_module("truth", Decomposition() if with_truth else None)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        maps: Tensor = image_B3HW
        for place in range(self.layers):
            maps = self[place](maps)
        return maps

    def split(self, image_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Reflectance B×3×H×W and illumination B×1×H×W."""
        reflectance, illumination = self(image_B3HW).split((3, 1), 1)
        return reflectance, illumination


class ReflectanceNetwork(nn.Module):
    """Residual denoiser of the reflectance. `guided`: half of its first features come from the illumination."""

    def __init__(self, *, guided: bool) -> None:
        super().__init__()
        width = 2 * WIDTH
        # Without guidance one convolution gives all features: inferred from the parameter count of such a network of
        # the authors'; no sampled output checks it.
        self.conv1 = _conv(3, WIDTH if guided else width)
        self.conv2 = _conv(1, WIDTH) if guided else None
        self.excite = SqueezeExcite(width)
        self.conv3, self.conv4, self.conv5, self.conv6, self.conv7 = (_conv(width, width) for _ in range(5))
        self.conv8 = _conv(width, 3)

    def forward(self, reflectance_B3HW: Tensor, illumination_B1HW: Tensor) -> Tensor:
        x = F.relu(self.conv1(reflectance_B3HW))
        if self.conv2 is not None:
            x = torch.cat([x, F.relu(self.conv2(illumination_B1HW))], 1)
        x = self.excite(x)
        for conv in (self.conv3, self.conv4, self.conv5, self.conv6, self.conv7):
            x = F.relu(conv(x))
        return reflectance_B3HW + self.conv8(x)


class SqueezeExcite(nn.Sequential):
    """Weights each channel by a sigmoid of all channels' means."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        squeeze = nn.Linear(channels, channels // reduction, bias=False)
        # The means are of features after a ReLU, so never negative: with weights of both signs, about one of ten fresh
        # networks would have all four units off, and neither layer would learn.
        nn.init.uniform_(squeeze.weight, 0, channels**-0.5)
        super().__init__(squeeze, nn.ReLU(), nn.Linear(channels // reduction, channels, bias=False), nn.Sigmoid())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW * super().forward(x_BCHW.mean((-2, -1)))[:, :, None, None]


def _conv(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)


def _alive(conv: nn.Conv2d) -> tuple[nn.Conv2d, nn.ReLU]:
    """The convolution and the ReLU behind it, starting well above zero.

    With PyTorch's biases about two of five fresh networks have an illumination that is zero everywhere, and never
    learn it. The authors train the stages one after another, each with a loss of its own; here they may learn jointly.
    """
    if conv.bias is not None:
        nn.init.constant_(conv.bias, 0.5)
    return conv, nn.ReLU()


def _chain(channels: tuple[int, ...], *, last_kernel: int) -> nn.Sequential:
    """5×5 convolutions with LeakyReLU, then a last convolution to one channel, which is not negative."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (before, after) in enumerate(pairwise(channels), 1):
        layers |= {f"conv{number}": _conv(before, after, 5), f"relu{number}": nn.LeakyReLU(0.2)}
    last = len(channels)
    layers[f"conv{last}"], layers[f"relu{last}"] = _alive(_conv(channels[-1], 1, last_kernel))
    return nn.Sequential(layers)
