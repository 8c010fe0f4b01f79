"""Ranges that options often have, by what the number means.

Upper ends are far above anything that is used: they catch slips of the hand before a network of a million layers is
built. Where a meaning has a range of its own, a part writes it out: `Annotated[float, Ge(0.0), Le(255.0)]`.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Channels = Annotated[int, Ge(1), Le(65_536)]
"""Width of a layer, or of a vector."""
Count = Annotated[int, Ge(1), Le(256)]
"""How many there are of what must be there: heads, rounds, stages."""
Blocks = Annotated[int, Ge(0), Le(256)]
"""How many there are of what may be missing: blocks of a level."""
Pixels = Annotated[int, Ge(1), Le(16_384)]
"""A side."""
Kernel = Annotated[int, Ge(1), Le(99)]
"""A side of filters. Most networks need an odd one and say so in a `Rule`."""
Steps = Annotated[int, Ge(1), Le(1_000_000_000)]
"""Of the training."""
Chance = Annotated[float, Ge(0.0), Lt(1.0)]
"""Probability of dropping something, or how much of the past a mean keeps."""
Share = Annotated[float, Ge(0.0), Le(1.0)]
"""Part of a whole, or a brightness in [0, 1]."""
Factor = Annotated[float, Gt(0.0), Le(1_000_000.0)]
"""What something is multiplied or divided by."""
Weight = Annotated[float, Ge(0.0), Le(1e12)]
"""Of a term of a loss; zero leaves it out."""
Rate = Annotated[float, Gt(0.0), Le(1.0)]
"""Of learning."""
