"""What every part promises, whatever its kind, and what the contract classes share that needs no torch.

A contract class is a plain class whose `test_…` methods assert. Authors inherit it in a test file of their own and say
in `make` how their part is made; pytest then runs it. `bench test FILE` runs the same classes without pytest.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from harness.api.declaration import Declaration, read_declaration
from harness.api.kinds import KINDS


class PartContract:
    """The promises of a declaration: it can be read without running the part, and running code uses the same one."""

    kind: ClassVar[str]

    @property
    def part(self) -> Any:
        """The class under test."""
        raise NotImplementedError

    @property
    def positional(self) -> int:
        """How many positional parameters the harness gives to the constructor at most."""
        return 0

    @property
    def declared(self) -> Declaration[Any]:
        """What planning reads of the part. Raises SpecErrors with all that is wrong in its declaration."""
        return read_declaration(self.kind, f"{inspect.getfile(self.part)}:{self.part.__name__}")

    def test_declares_its_traits(self) -> None:
        """Declares its own traits, of the class of its kind."""
        part, wanted = self.part, KINDS[self.kind]
        assert "traits" in vars(part), f"{part.__name__} itself has no `traits`"
        found = part.traits
        assert isinstance(found, wanted), f"traits is a {type(found).__name__}, not a {wanted.__name__}"

    def test_traits_are_read_from_the_source(self) -> None:
        """Has the traits that its source says."""
        read, used = self.declared.traits, self.part.traits
        assert read == used, f"the source says {read}, and the running code {used}"

    def test_options_are_keywords(self) -> None:
        """Takes its options by keyword, with the defaults that its source says."""
        if self.kind == "task":
            return
        parameters = inspect.signature(self.part).parameters.values()
        positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        extra = positional[self.positional :]
        assert not extra, f"positional, and not given by the harness: {', '.join(extra)}; write them after a *"
        used = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
        for name, option in self.declared.options.items():
            assert name not in used or used[name] == option.default, (
                f"the default of {name} is {used[name]!r}, and in the source {option.default!r}"
            )


def picture(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """A smooth random picture with a little fine noise: H×W×3 float32 in [0, 1]."""
    drawn = np.random.default_rng(seed)
    coarse = drawn.random((-(-height // 8) + 1, -(-width // 8) + 1, 3))
    top, left = np.arange(height) // 8, np.arange(width) // 8
    y, x = (np.arange(height) % 8 / 8)[:, None, None], (np.arange(width) % 8 / 8)[None, :, None]
    above = coarse[top][:, left] * (1 - x) + coarse[top][:, left + 1] * x
    below = coarse[top + 1][:, left] * (1 - x) + coarse[top + 1][:, left + 1] * x
    smooth = above * (1 - y) + below * y
    return np.clip(smooth + 0.02 * drawn.standard_normal(smooth.shape), 0, 1).astype(np.float32)


@contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Inside, the global generators of random, NumPy and (where it is imported) torch stand at a seed.

    Their states come back at the end. Raises AssertionError when what ran inside has drawn from one of them.
    """
    torch: Any = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state(), torch.random.get_rng_state() if torch else None
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.default_generator.manual_seed(seed)
    old_numpy, torch_state = numpy_state(), torch.random.get_rng_state() if torch else None
    python_state = random.getstate()
    try:
        yield
        assert random.getstate() == python_state, "it draws from Python's global generator"
        assert numpy_state() == old_numpy, "it draws from NumPy's global generator"
        assert torch is None or torch.equal(torch.random.get_rng_state(), torch_state), (
            "it draws from torch's global generator"
        )
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        if torch:
            torch.random.set_rng_state(before[2])


def numpy_state() -> str:
    """The state of NumPy's global generator, to compare."""
    return repr([part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()])


def told(array: np.ndarray) -> str:
    """An array as messages name it: sides and type."""
    return f"{'×'.join(map(str, array.shape))} {array.dtype}"
