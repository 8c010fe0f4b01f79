"""The table of results: a section a task, a row a backbone and variant, a column a test set and metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.cells.cell import Cell
from harness.cells.suite import ResolvedSuite
from harness.core.errors import UnknownName
from harness.core.identity import canonical_json, digest
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.reports.aggregate import Summary, summarise
from harness.reports.query import CellResult, Column, query


@dataclass(frozen=True)
class MetricStyle:
    """How a metric is written."""

    title: str
    decimals: int


@dataclass(frozen=True)
class Row:
    """One line: a backbone and variant over its seeds. `entries` has no key where nothing was asked for."""

    backbone: str
    variant: str
    added_parameters: int | None
    entries: Mapping[Column, Summary]


@dataclass(frozen=True)
class Section:
    """One task. Its first row is the degraded input."""

    task: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Leaderboard:
    """All sections, and how to write each metric and data set."""

    sections: tuple[Section, ...]
    styles: Mapping[str, MetricStyle]
    datasets: Mapping[tuple[str, str], str]
    """Name of a data set by (name, content): the content's digest is added where two sets share a name."""

    def dataset(self, column: Column) -> str:
        return self.datasets[column.dataset, column.content]


def stored_suites(layout: Layout) -> list[ResolvedSuite]:
    """The suites that have been run in a folder of results, by name. Raises UnknownName when there is none."""
    paths = sorted(layout.suite("*").parent.glob("*.json"))
    if not paths:
        raise UnknownName("no suite has been run here", where=str(layout.out), hint="bench run SUITE --out DIR")
    return [ResolvedSuite.model_validate_json(path.read_bytes()) for path in paths]


def leaderboard(layout: Layout, suite: str | None = None, registry: Registry = REGISTRY) -> Leaderboard:
    """The table of one suite that has been run in a folder of results, or of all of them."""
    suites = [stored for stored in stored_suites(layout) if suite in (None, stored.name)]
    if not suites:
        raise UnknownName(f"suite {suite!r} has not been run here", where=str(layout.out), hint=f"bench run {suite}")
    return board_of(suites, layout, registry)


def board_of(suites: Sequence[ResolvedSuite], layout: Layout, registry: Registry = REGISTRY) -> Leaderboard:
    """The table of some suites from the records below `layout`, wherever those came from."""
    extended = [(suite, extend(registry, suite.plugins)) for suite in suites]
    everything = extend(registry, list(dict.fromkeys(file for suite in suites for file in suite.plugins)))
    return build(query(extended, layout), everything)


def metric_style(registry: Registry, name: str) -> MetricStyle:
    """A metric's title with unit and direction, and its decimals, from the part's class attributes."""
    metric = registry.load("metric", name)
    unit = f" ({metric.unit})" if metric.unit else ""
    return MetricStyle(f"{name.upper()}{unit} {'↑' if metric.higher_is_better else '↓'}", metric.decimals)


def build(results: Sequence[CellResult], registry: Registry) -> Leaderboard:
    """The table of what a query found. Order: tasks, backbones, variants and columns as they first appear."""
    tasks = _grouped(results, lambda result: (result.labels.task, digest(result.cell.task.identity(), 8)))
    names = _distinct(tasks)
    sections = tuple(_section(name, group) for name, group in zip(names, tasks.values(), strict=True))
    columns = dict.fromkeys(column for section in sections for column in section.columns)
    sets = dict.fromkeys((column.dataset, column.content) for column in columns)
    styles = {metric: metric_style(registry, metric) for metric in dict.fromkeys(c.metric for c in columns)}
    return Leaderboard(sections, styles, dict(zip(sets, _distinct(sets), strict=True)))


def _grouped(
    results: Iterable[CellResult], key: Callable[[CellResult], tuple[str, str]]
) -> dict[tuple[str, str], list[CellResult]]:
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def _distinct(named: Iterable[tuple[str, str]]) -> list[str]:
    """The names of (name, digest) pairs; where two share a name, with the beginning of the digest."""
    pairs = list(named)
    count = Counter(name for name, _ in pairs)
    return [f"{name} [{content[:4]}]" if count[name] > 1 else name for name, content in pairs]


def _section(task: str, results: Sequence[CellResult]) -> Section:
    """One task's rows, the input first, then backbone by backbone."""
    columns = tuple(dict.fromkeys(column for result in results for column in result.wanted))
    place = {name: index for index, name in enumerate(dict.fromkeys(result.labels.backbone for result in results))}
    inputs = [result for result in results if result.cell.backbone is None]
    networks = [result for result in results if result.cell.backbone is not None]
    ordered = inputs + sorted(networks, key=lambda result: place[result.labels.backbone])
    groups: dict[tuple[str, str, str], list[CellResult]] = {}
    for result in ordered:
        key = (result.labels.backbone, result.labels.variant, without_seed(result.cell))
        groups.setdefault(key, []).append(result)
    bases = Bases(results)
    variants = _distinct((f"{backbone}\n{variant}", content) for backbone, variant, content in groups)
    rows = (
        _row(backbone, variant.partition("\n")[2], group, columns, bases)
        for (backbone, _, _), variant, group in zip(groups, variants, groups.values(), strict=True)
    )
    return Section(task, columns, tuple(rows))


def _row(backbone: str, variant: str, group: list[CellResult], columns: Sequence[Column], bases: Bases) -> Row:
    paired = [bases.of(result) for result in group]
    summaries = {column: summarise(column, group, paired) for column in columns}
    added = next((result.added_parameters for result in group if result.added_parameters is not None), None)
    entries = {column: summary for column, summary in summaries.items() if summary is not None}
    return Row(backbone, variant, added, entries)


def without_seed(cell: Cell) -> str:
    """Names a cell but for its seed and the seeds of the cells it builds on, so that seeds share a row."""
    content = cell.content()
    content.pop("seed", None)
    text = canonical_json(content)
    for needed in cell.requires:
        text = text.replace(needed.id, without_seed(needed))
    return digest(text, 12)


class Bases:
    """Finds the base cell that a refined one is compared with: the one it started from, else the one that differs in
    nothing but the treatment (same task, train split, backbone, recipe and seed)."""

    def __init__(self, results: Iterable[CellResult]) -> None:
        plain = [r for r in results if r.cell.backbone is not None and r.cell.variant.refiner is None]
        self._by_id = {result.id: result for result in plain}
        self._by_content = {_but_for_treatment(result.cell): result for result in plain}

    def of(self, result: CellResult) -> CellResult | None:
        """The base of a refined cell; None for a base, the input, and where the suite lists no base."""
        cell = result.cell
        if cell.backbone is None or cell.variant.refiner is None:
            return None
        if cell.base is not None:
            return self._by_id.get(cell.base.id)
        return self._by_content.get(_but_for_treatment(cell))


def _but_for_treatment(cell: Cell) -> str:
    return canonical_json(cell.identity(include={"task", "train", "backbone", "recipe", "seed"}))
