"""The metrics that a suite names, each once."""

from __future__ import annotations

from harness.api.declaration import declaration
from harness.cells.suite import SuiteMetric
from harness.core.wording import short
from harness.spec.labels import call, unusual_options
from harness.spec.resolve import Resolver


def named_metrics(resolver: Resolver) -> tuple[SuiteMetric, ...]:
    """The metrics of the suite in its order, each once. Mistakes are noted."""
    found: dict[str, SuiteMetric] = {}
    titles: set[str] = set()
    for index, spec in enumerate(resolver.suite.metrics):
        part = resolver.part("metric", spec, ("metrics", index))
        if part is None:
            continue
        declared = declaration(resolver.registry, "metric", part.name)
        key = call(part.name, unusual_options(declared.options, part))
        metric = SuiteMetric(part=part, key=key, label=spec.label or key, reference=declared.traits.reference)
        if key in found:
            written = call(spec.name, [f"{name}={short(value)}" for name, value in spec.options.items()])
            hint = "remove one" if written == key else f"remove one: it is the same as {key!r}"
            resolver.report(("metrics", index), f"the metric {written!r} is given twice", hint)
        elif metric.title in titles:
            what = f"two metrics are called {metric.title!r} in tables"
            resolver.report(("metrics", index), what, "give one of them another label")
        found.setdefault(key, metric)
        titles.add(metric.title)
    return tuple(found.values())
