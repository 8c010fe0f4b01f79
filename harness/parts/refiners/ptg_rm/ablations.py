"""What of PTG-RM each row of the paper's Table 3 leaves, as choices among a few components.

The paper names its ablations in a few words each; the comments say how we read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Range = Literal["score", "mean_score", "snr", "sum"]
Spatial = Literal["kernels", "plain", "none"]
Joined = Literal["no", "vector", "map"]


@dataclass(frozen=True)
class Design:
    """The components of R. The default is the full module."""

    sve: bool = True
    """Whether there is SVE at all; without it f̂ = f."""
    range: Range = "score"
    """Where M comes from: the learned score; its mean, one number per image; the SNR map of I_d; or nowhere, and both
    ranges are summed."""
    channel: bool = True
    """Whether M_c is computed; else it is one."""
    spatial: Spatial = "kernels"
    """M_s from f̂ filtered by C_p, from f̂ itself, or one everywhere."""
    guided: bool = True
    """Whether the prior enters SVE and CSA."""
    positions: bool = True
    """Whether position embeddings enter SVE and CSA."""
    joined: Joined = "no"
    """The form in which the prior is concatenated with R_e's features."""
    grown: bool = False
    """Whether the width is grown until R has at least the full module's parameters."""


DESIGNS: Mapping[str, Design] = {
    "none": Design(),
    "without_sve": Design(sve=False),
    # All of SVE's parameters stay and train, but its choice between the ranges is the same at every position: what is
    # lost is that the enhancement varies in space, and nothing of the size.
    "without_sve_same_size": Design(range="mean_score"),
    # An attention that is left out is one everywhere: R_f still sees both halves, one of them f̂ itself.
    "without_channel_attention": Design(channel=False),
    "without_spatial_attention": Design(spatial="none"),
    # Both ranges summed, and attention weights from the features alone, as the paper says. That leaves open what
    # becomes of the kernels that the prior leads. First reading: they go with it, so that M_s = sigmoid(R_o(f̂)).
    # Second: they stay, and come from the features, C_p = R_p(f̂); at four times the width they are most of the module.
    "large_without_priors": Design(range="sum", spatial="plain", guided=False, positions=False, grown=True),
    "large_without_priors_kernels": Design(range="sum", guided=False, positions=False, grown=True),
    "without_position_embedding": Design(positions=False),
    # M weighs the long range, so that it is 1 − SNR: as in SNR-Net, noisy places look far.
    "snr_mask": Design(range="snr"),
    # SVE and CSA keep their parts and their positions, but no longer see the prior. A map is the prior's own where it
    # gives one (CLIP's patch tokens), and else made from its vector.
    "concat_1d": Design(guided=False, joined="vector"),
    "concat_2d": Design(guided=False, joined="map"),
}
