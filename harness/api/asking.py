"""What planning asks of data sets: the only parts that it runs, because only their code can compare their images.

Plug-ins answer inside the boundary (harness.core.guests), and their answers are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from harness.api.dataset import Dataset, DatasetTraits, RandomAccess, SourceImage
from harness.api.library import InLibrary, library
from harness.api.loading import load_part
from harness.core.errors import HarnessError
from harness.core.guests import contained, fault
from harness.core.names import unfit_name
from harness.core.registry import Registry

_HINT = "mend the plug-in; --debug shows the traceback"


def opened(registry: Registry, name: str, options: Mapping[str, Any]) -> Dataset:
    """A data set, imported and constructed; one of the field that names no folder of its own as the library has it.

    Raises DataError as data sets do; HarnessError of the kind `suite` when the constructor refuses the options with
    ValueError or TypeError, and of the kind `plugin` for whatever else a plug-in raises.
    """
    with contained(_HINT, quiet=True):
        found = load_part(registry, "dataset", name)
    traits: DatasetTraits = found.traits
    if traits.source is not None and options.get("root") is None:
        return InLibrary(name, traits, library())
    try:
        with contained(_HINT, quiet=True, owner=found):
            dataset: Dataset = found(**options)
    except HarnessError as error:
        refused = error.__cause__
        if error.kind == "plugin" and isinstance(refused, ValueError | TypeError):
            raise HarnessError(str(refused), where=error.where) from refused
        raise
    return dataset


def fingerprint_of(dataset: Dataset) -> str:
    """Digest of a data set's images. Raises DataError as data sets do, HarnessError (kind `plugin`) for a wrong one."""
    with contained(_HINT, quiet=True, owner=dataset):
        found = dataset.fingerprint()
    fit = isinstance(found, str) and bool(found.strip()) and found.isprintable()
    if not fit or any(character in "/\\" for character in found):
        hint = "give a digest of the images as text; files are called by it"
        raise fault(dataset, f"gives the fingerprint {found!r}", hint)
    return found


def splits_of(dataset: Dataset) -> tuple[str, ...]:
    """The names of a data set's splits. Raises HarnessError (kind `plugin`) for one that no folder can have."""
    with contained(_HINT, quiet=True, owner=dataset):
        given = dataset.splits()
        found = () if isinstance(given, str) else tuple(given)
    if not found:
        raise fault(dataset, f"gives the splits {given!r}", '("train", "test")')
    for name in found:
        unfit = unfit_name(name) if isinstance(name, str) else "a name is a text"
        if unfit:
            raise fault(dataset, f"gives the split {name!r}: {unfit}", '("train", "test")')
    return found


def declared_splits(dataset: Dataset) -> tuple[str, ...]:
    """The splits of a data set, as `splits_of`; of one of the field all that it declares, whichever the library has."""
    return tuple(dataset.declared) if isinstance(dataset, InLibrary) else splits_of(dataset)


def keys_of(dataset: Dataset, split: str) -> list[str]:
    """The keys of a split, without reading an image. Raises DataError as data sets do, HarnessError (kind `plugin`) for
    whatever else a plug-in raises."""
    with contained(_HINT, quiet=True, owner=dataset):
        return [key for key, _ in dataset.keys(split)]


def first_image(dataset: Dataset, split: str) -> SourceImage | None:
    """The first image of a split; None for an empty one. Raises DataError as data sets do, HarnessError (kind `plugin`)
    for whatever else a plug-in raises.
    """
    with contained(_HINT, quiet=True, owner=dataset):
        if not dataset.traits.random_access:
            return next(iter(dataset.images(split)), None)
        keys = [key for key, _ in dataset.keys(split)]
        return next(iter(cast(RandomAccess, dataset).images_at(split, keys[:1])), None) if keys else None
