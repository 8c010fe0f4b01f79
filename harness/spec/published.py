"""The published numbers of a suite's blocks: which cell each is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.api.averages import AVERAGES
from harness.api.protocols import known_protocols
from harness.api.task import unknown_protocol
from harness.cells.published import PublishedNumber
from harness.cells.suite import SuiteMetric
from harness.core.errors import did_you_mean
from harness.core.yaml import Path
from harness.records.labels import condition_text
from harness.spec.drafts import CellDraft
from harness.spec.resolve import Resolver
from harness.spec.schema import Published


def published_numbers(
    resolver: Resolver, blocks: Sequence[Sequence[CellDraft]], metrics: Sequence[SuiteMetric]
) -> tuple[PublishedNumber, ...]:
    """The numbers of all blocks in the file's order. `blocks`: the cells of each. Mistakes are noted."""
    return tuple(
        number
        for index, (block, drafts) in enumerate(zip(resolver.suite.blocks, blocks, strict=True))
        for number in _of_block(resolver, block.published, drafts, metrics, ("blocks", index, "published"))
    )


def _of_block(
    resolver: Resolver,
    printed: Sequence[Published],
    drafts: Sequence[CellDraft],
    metrics: Sequence[SuiteMetric],
    path: Path,
) -> Iterator[PublishedNumber]:
    listed = {draft.cell.id: draft for draft in drafts if draft.listed}
    if not printed or not listed:
        return
    if len(listed) > 1:
        hint = "give every network a block of its own"
        resolver.report(path, f"published numbers are of one network, and this block has {len(listed)} cells", hint)
        return
    ((cell, draft),) = listed.items()
    protocols = {protocol.name for protocol in known_protocols(resolver.registry)}
    for place, each in enumerate(printed):
        sound = True
        for field, known, what in _choices(each, draft, metrics, protocols):
            if (given := getattr(each, field)) not in known:
                hint = unknown_protocol(given, known) if field == "protocol" else did_you_mean(given, known)
                hint = hint or f"one of {', '.join(sorted(known))}"
                resolver.report((*path, place, field), f"{what} {given!r}", hint)
                sound = False
        if sound:
            yield PublishedNumber(
                cell=cell,
                test=each.average or each.test or "",
                average=each.average is not None,
                metric=each.metric,
                protocol=each.protocol,
                value=each.value,
                source=each.source,
                group=each.group,
                condition=_condition(each, draft),
            )


def _choices(
    each: Published, draft: CellDraft, metrics: Sequence[SuiteMetric], protocols: set[str]
) -> Iterator[tuple[str, set[str], str]]:
    """What a number may name: (field, values, what is wrong with another)."""
    yield "metric", {metric.key for metric in metrics}, "the suite has no metric"
    yield "protocol", protocols, "no protocol is called"
    if each.average is None:
        yield "test", {test.dataset.name for test in draft.tests}, "the block does not test on"
    else:
        yield "average", set(AVERAGES), "no mean over data sets is called"


def _condition(each: Published, draft: CellDraft) -> dict[str, object]:
    """The condition as the test sets have it: 15 is 15.0 where the option is a float."""
    text = condition_text(each.options)
    for test in draft.tests:
        if condition_text(test.condition) == text:
            return dict(test.condition)
    return dict(each.options)
