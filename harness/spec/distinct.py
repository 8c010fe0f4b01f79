"""What a label says in brackets, so that no two settings of a suite have the same: `base [steps=9, darken=—]`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.cells.cell import Cell
from harness.cells.explain import ABSENT, flatten
from harness.cells.recipe import Recipe
from harness.cells.suite import Labels
from harness.core.identity import canonical_json, digest
from harness.core.wording import short
from harness.spec.drafts import CellDraft

LONGEST, LONGEST_VALUE = 100, 40
"""Characters in brackets, and of one value. What is cut off is told by the beginning of a digest."""
LONGEST_DIGEST = 8
"""Characters of a digest."""

_SEEDS = ("seed", "base.seed", "prior_source.seed")
_REQUIRED = ("base.", "prior_source.")

Setting = Mapping[str, Any]
"""What one row of a table has in common: the fields of its cells but for seeds."""


def distinct(drafts: Sequence[CellDraft], labels: Sequence[Labels], given: Mapping[int, str]) -> list[Labels]:
    """The labels of cells, with words in brackets where different settings would share one.

    Cells that start from bases of different recipes say so as well: their numbers do not compare, whatever their
    labels. `given`: labels that the file gives, by the `id()` of what they stand for.
    """
    settings = [_setting(draft.cell) for draft in drafts]
    bases = _different_bases(drafts, labels, settings)
    told: dict[int, list[str]] = dict(bases)
    groups: dict[Labels, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        groups[label].append(index)
    found, recipes = list(labels), _recipe_labels(drafts, labels, given)
    for indices in groups.values():
        told |= _collisions(drafts, settings, indices, bases)
        for index, words in _rendered(settings, [i for i in indices if told.get(i)], told, recipes).items():
            found[index] = labels[index].model_copy(update={"variant": f"{labels[index].variant} [{words}]"})
    return found


def _setting(cell: Cell) -> Setting:
    return {field: value for field, value in flatten(cell).items() if field not in _SEEDS}


def _part(setting: Setting, prefix: str) -> Setting:
    return {field: value for field, value in setting.items() if field.startswith(prefix)}


def _different_bases(
    drafts: Sequence[CellDraft], labels: Sequence[Labels], settings: Sequence[Setting]
) -> dict[int, list[str]]:
    """Cell → the fields of its base's recipe that are others elsewhere, with the same network and own recipe."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, draft in enumerate(drafts):
        if draft.cell.base is not None:
            own = labels[index].task, labels[index].backbone, _part(settings[index], "recipe.")
            groups[canonical_json(own)].append(index)
    told: dict[int, list[str]] = {}
    for indices in groups.values():
        fields = _differing([_part(settings[index], "base.recipe.") for index in indices])
        told |= {index: fields for index in indices if fields and not drafts[index].variant.label}
    return told


def _collisions(
    drafts: Sequence[CellDraft], settings: Sequence[Setting], indices: Sequence[int], bases: Mapping[int, list[str]]
) -> dict[int, list[str]]:
    """Cells that share a label → the fields that tell their settings apart; nothing for a single setting."""
    names = {index: canonical_json(settings[index]) for index in indices}
    if len(set(names.values())) < 2:
        return {}
    listed = {names[index] for index in indices if drafts[index].listed}
    plain = listed if len(listed) == 1 else set()  # the only row that the table shows needs no more words
    known = [field for field in bases.get(indices[0], ()) if all(field in bases.get(i, ()) for i in indices)]
    fields = _telling([settings[index] for index in indices], known)
    return {
        index: list(dict.fromkeys((*fields, *bases.get(index, ())))) for index in indices if names[index] not in plain
    }


def _telling(settings: Sequence[Setting], known: Sequence[str]) -> list[str]:
    """The fields that tell settings apart: a cell's own, then those of required cells, as far as needed.

    Digests and versions of parts come after what people write themselves.

    `known`: fields of required cells that are told anyway.
    """
    differing = _differing(settings)
    digests = [field for field in differing if field.endswith(("digest", "version"))]
    own = [field for field in differing if not field.startswith(_REQUIRED)]
    follow = [field for field in differing if field not in own and _follows(field, settings)]
    different = len({_values(setting, differing) for setting in settings})
    told: list[str] = []
    for few in (
        [field for field in own if field not in digests],
        known,
        [field for field in differing if field not in (*own, *follow, *digests)],
        [field for field in own if field in digests],
        follow,
        digests,
    ):
        told += [field for field in few if field not in told]
        if len({_values(setting, told) for setting in settings}) == different:
            break
    return told


def _differing(settings: Sequence[Setting]) -> list[str]:
    fields = dict.fromkeys(field for setting in settings for field in setting)
    return [field for field in fields if len({_values(setting, [field]) for setting in settings}) > 1]


def _values(setting: Setting, fields: Iterable[str]) -> str:
    return canonical_json([[field, setting.get(field, ABSENT)] for field in fields])


def _follows(field: str, settings: Sequence[Setting]) -> bool:
    """Whether a required cell has in every setting what the cell itself has."""
    own = field
    for prefix in _REQUIRED:
        own = own.removeprefix(prefix)
    return all(setting.get(field) == setting.get(own) for setting in settings)


def _rendered(
    settings: Sequence[Setting],
    indices: Sequence[int],
    told: Mapping[int, Sequence[str]],
    recipes: Sequence[Mapping[str, str]],
) -> dict[int, str]:
    """Cell → its words. Settings that what fits does not tell apart have the beginning of their digests."""
    texts = {index: _capped(_words(settings[index], told[index], recipes[index])) for index in indices}
    contents = {index: digest(dict(settings[index]), 12) for index in indices}
    shared = Counter(text for text, _ in {(texts[index], contents[index]) for index in indices})
    return {index: f"{text}, {contents[index][:4]}" if shared[text] > 1 else text for index, text in texts.items()}


def _recipe_labels(
    drafts: Sequence[CellDraft], labels: Sequence[Labels], given: Mapping[int, str]
) -> list[dict[str, str]]:
    """For each cell: beginning of the fields of a recipe → its label, where no other recipe of the network has it."""
    found: list[dict[str, str]] = [{} for _ in drafts]
    roles: dict[tuple[str, str, str, bool, str], list[tuple[int, Recipe]]] = defaultdict(list)
    for index, (draft, label) in enumerate(zip(drafts, labels, strict=True)):
        cell, frozen = draft.cell, draft.variant.regime == "frozen"  # a refiner alone has a part of the recipe
        for at, owner in (("", cell), ("base.", cell.base), ("prior_source.", cell.prior_source)):
            if owner is not None and id(owner.recipe) in given:
                key = label.task, label.backbone, f"{at}recipe.", frozen and not at, given[id(owner.recipe)]
                roles[key].append((index, owner.recipe))
    for (_, _, at, _, name), owners in roles.items():
        if len({id(recipe) for _, recipe in owners}) == 1:
            for index, _ in owners:
                found[index][at] = name
    return found


def _words(setting: Setting, fields: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """`steps=9`, or `darken=—` for a mapping that the setting lacks as a whole."""
    names = _names(fields)
    words: dict[str, None] = {}
    for field in fields:
        label = next((at for at in labels if field.startswith(at)), None)
        if label is not None:
            words[f"{label.removesuffix('recipe.')}label={labels[label]}"] = None
        elif field in setting:
            words[f"{names[field]}={_value(field, setting)}"] = None
        elif (missing := _missing(field, setting)) is not None:
            words[f"{names[field] if missing == field else _name(missing)}={ABSENT}"] = None
    return list(words)


def _value(field: str, setting: Setting) -> str:
    """A field's value as labels show it: short, and the beginning of a digest."""
    text = short(setting[field])
    if field.endswith("digest"):
        return text.removeprefix("sha256:")[:LONGEST_DIGEST]
    return _cut(text, LONGEST_VALUE)


def _missing(field: str, setting: Setting) -> str | None:
    """The outermost mapping of a field that a setting lacks; None where it has a plain value or a mapping instead."""
    steps = field.split(".")
    above = [".".join(steps[: count + 1]) for count in range(len(steps))]
    if any(outer in setting for outer in above[:-1]) or any(name.startswith(f"{field}.") for name in setting):
        return None
    return next(outer for outer in above if not any(name.startswith(f"{outer}.") for name in setting))


def _names(fields: Iterable[str]) -> dict[str, str]:
    """Short names of fields, each with its owner where two would have the same."""
    names = {field: _name(field) for field in fields}
    count = Counter(names.values())
    return {field: name if count[name] == 1 else _name(field, whole=True) for field, name in names.items()}


def _name(field: str, *, whole: bool = False) -> str:
    """`recipe.scale.least` → `scale.least`, `base.recipe.steps` → `base.steps`, `backbone.options.width` → `width`."""
    prefix = "".join(at for at in _REQUIRED if field.startswith(at))
    name = field.removeprefix(prefix).removeprefix("recipe.").removeprefix("variant.")
    owner, dot, option = name.replace(".part.", ".").rpartition("options.")
    shown = f"{owner}{option}" if whole or owner.startswith(("losses.", "stages.")) else option
    return prefix + (shown if dot else name.replace(".part.", "."))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _capped(words: Sequence[str]) -> str:
    """As many words as fit."""
    kept = list(words)
    while len(kept) > 1 and len(", ".join(kept)) > LONGEST:
        kept.pop()
    return ", ".join([*kept, "…"] if len(kept) < len(words) else kept)
