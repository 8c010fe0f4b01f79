"""What a suite leaves unsaid and its reader may not expect. Notes are no mistakes."""

from __future__ import annotations

from harness.api.protocols import protocols_of
from harness.api.reference import PartRef
from harness.cells.sights import sight_beside_prior, told
from harness.cells.suite import DATASET_DIGITS, ResolvedSuite
from harness.core.identity import digest
from harness.core.registry import Registry
from harness.spec.overlaps import selection_notes
from harness.spec.tasks import brings_pairs


def notes(suite: ResolvedSuite, registry: Registry) -> list[str]:
    """A line on each data set whose degraded images a task of the suite does not use, as its noise is drawn; on each
    protocol under which priors see other images than networks; and on each test set by which checkpoints were chosen.
    """
    found: dict[str, None] = {}
    for entry in suite.cells:
        used = [(entry.cell.train, entry.cell.task), *((test.dataset, test.task) for test in entry.tests)]
        for dataset, task in used:
            source = task.derived_from
            if entry.cell.backbone is not None and source and source.drawn and brings_pairs(dataset, registry):
                what = f"the degraded images of {called(dataset, suite)} are not used: {task.name} makes its own"
                found[f"{what} from the clean ones; for those of the data set: task: real_denoise"] = None
    return [*found, *_sights(suite, registry), *selection_notes(suite, registry)]


def _sights(suite: ResolvedSuite, registry: Registry) -> list[str]:
    """A line on each test set and protocol under which networks get images at another size than their priors."""
    found: dict[str, None] = {}
    for entry in suite.cells:
        for test in entry.tests:
            for protocol in protocols_of(registry, entry.cell.task, test.dataset, suite.protocols):
                sides = sight_beside_prior(entry.cell, protocol, registry)
                if sides is not None:
                    what = told(protocol, called(test.dataset, suite), sides)
                    found[f"{what}; images of that size are the same for both"] = None
    return list(found)


def called(dataset: PartRef, suite: ResolvedSuite) -> str:
    """How a suite calls a data set: by its label, else by its name."""
    return suite.dataset_labels.get(digest(dataset.identity(), DATASET_DIGITS), dataset.called)
