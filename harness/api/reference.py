"""References to parts with all options filled in: the atoms that cells, sets of data and jobs are made of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from harness.core.identity import canonical_json
from harness.core.identity import digest as digest_of

IDENTITY = "identity"
"""Serialization context that leaves out everything that is not part of the identity."""


class Frozen(BaseModel):
    """Base of the small immutable values that travel in job files and records."""

    # Some fields have other names in files and identities than in code, so that old results stay readable.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    def identity(self, **dump: Any) -> dict[str, Any]:
        """The content that the identity hashes: the whole value without file paths. `dump`: keywords of model_dump."""
        return self.model_dump(mode="json", context=IDENTITY, **dump)


class Hashed(Frozen):
    """Base of the values that an identity is made of."""

    unhashed: ClassVar[tuple[str, ...]] = ()
    """Fields that no identity depends on."""
    hashed_when_set: ClassVar[tuple[str, ...]] = ()
    """Fields that identities leave out at their defaults: they came later, and the ids of older results stay."""

    @model_serializer(mode="wrap")
    def _for_identity(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if info.context == IDENTITY:
            for name in self.unhashed:
                content.pop(name, None)
            for name, key, usual in _left_out(type(self)):
                if getattr(self, name) == usual:
                    content.pop(key, None)
        return content

    @cached_property
    def canonical(self) -> str:
        """The canonical JSON of the identity. Computed once: the values are never changed, and thousands of cells hold
        the same ones."""
        return canonical_json(self.identity())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy whose derived values are computed anew; pydantic would copy those that are cached."""
        copied = super().model_copy(update=update, deep=deep)
        for name in _derived(type(self)):
            copied.__dict__.pop(name, None)
        return copied


@cache
def _left_out(kind: type[Hashed]) -> tuple[tuple[str, str, Any], ...]:
    """(field, its key in what is written, its default) of each that identities leave out at its default."""
    fields = kind.model_fields
    return tuple(
        (name, fields[name].serialization_alias or name, fields[name].get_default(call_default_factory=True))
        for name in kind.hashed_when_set
    )


@cache
def _derived(kind: type[Hashed]) -> tuple[str, ...]:
    """The names of the values that instances compute once."""
    every = (vars(base) for base in kind.__mro__)
    return tuple(name for own in every for name, value in own.items() if isinstance(value, cached_property))


UNREAD = "unread-"
"""How the digest of a data set begins that cannot be opened on this machine: a stand-in, under which nothing runs."""


EXAMPLE = "example-"
"""How the digest of a data set begins that is made of bundled photographs in the layout of a real one, to try suites
before the download: all tables name it."""
EXAMPLE_MARK = " (example)"
"""What stands behind the name of such a data set."""


class PartRef(Hashed):
    """A part by name, with every option filled.

    `version` is the part's own (harness.api.declaration). `digest` names the content behind it: a data set's images, a
    prior's weights, or the id of the cell that trains them.
    """

    unhashed = ("files",)
    hashed_when_set = ("weights", "drawn")

    name: str
    version: str = "1"
    options: dict[str, Any] = Field(default_factory=dict)
    digest: str | None = None
    derived_from: PartRef | None = Field(None, alias="of")
    """The part that this one is made from: a control's prior, or a task's degradation."""
    weights: str | None = None
    """Published weights that a backbone starts with, by id (harness.weights.catalogue); `digest` is that file's."""
    drawn: bool = False
    """Of a degradation: whether it acts at every draw (harness.api.degradation.Acts)."""
    files: dict[str, str] = Field(default_factory=dict)
    """Absolute paths by option, for options that name a local file. Not in identity: `digest` has their content."""

    @property
    def unread(self) -> str:
        """What stands for the digest where the content cannot be read: of the options and the places of its files."""
        return UNREAD + digest_of([self.name, self.version, self.options, self.files], 16)

    @property
    def is_unread(self) -> bool:
        """Whether it is a data set whose images this machine could not look at."""
        return self.digest is not None and self.digest.startswith(UNREAD)

    @property
    def is_example(self) -> bool:
        """Whether it is a data set of examples in place of the real images."""
        return self.digest is not None and self.digest.startswith(EXAMPLE)

    @property
    def called(self) -> str:
        """What tables, titles and records call a data set: its name, and that it is made of examples."""
        return f"{self.name}{EXAMPLE_MARK}" if self.is_example else self.name

    @property
    def arguments(self) -> dict[str, Any]:
        """All options, as the part's constructor takes them: JSON's lists are the tuples of its annotations."""
        return {option: _tuples(value) for option, value in {**self.options, **self.files}.items()}


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


PriorRef = Any
"""Annotation of an option that names another prior. The part gets its PartRef; the rows come through `derive`."""

CellRef = Any
"""Annotation of an option that names a cell to train first. The part gets its id, and its network as `network`."""

LocalFile = str
"""Annotation of an option that holds a path. Suites give it relative to themselves; the part gets it absolute."""

Placement = Literal["image", "features"]
Regime = Literal["joint", "from_base", "frozen"]
FeaturePolicy = Literal["image", "crop", "live"]
"""What a prior sees in training: the whole degraded image, upright or in every orientation (`views`); the very crop,
which must be known beforehand (`crop: grid`); or the batch as it comes."""
Augment = Literal["none", "flip", "flips", "dihedral"]

ORIENTATIONS: dict[Augment, tuple[int, ...]] = {
    "none": (0,),
    "flip": (0, 1),
    "flips": (0, 1, 4, 5),
    "dihedral": (0, 1, 2, 3, 4, 5, 6, 7),
}
"""The orientations of a tile (harness.data.orientation) that training may use.

The original; also its mirror image; both flips and half a turn, which is both together; all eight of a square.
"""
