"""DeepSpeed's own configuration in the section `run:`: read once, and compared with what the recipes decide."""

from __future__ import annotations

import os
from collections.abc import Sequence

from harness.cells.recipe import Recipe
from harness.cells.suite import DeepSpeed, Run
from harness.cells.zero_config import config_file, recipe_conflicts
from harness.core.errors import Problem
from harness.spec.schema import SuiteFile

_PATH = ("run", "deepspeed", "config")


def read_run(suite: SuiteFile, problems: list[Problem]) -> Run:
    """The section `run:` with the content of the file in place of its path, which is relative to the suite's file.

    What is wrong with the file, whatever the recipes are, is added to `problems`.
    """
    run = suite.run
    if run.deepspeed is None or run.deepspeed.config is None:
        return run
    folder = os.path.dirname(os.path.abspath(suite.tree.nearest(_PATH).place.file))
    text, found = config_file(os.path.normpath(os.path.join(folder, os.path.expanduser(run.deepspeed.config))))
    problems += [suite.problem(_PATH, what, hint) for what, hint in found]
    return run.model_copy(update={"deepspeed": run.deepspeed.model_copy(update={"config": text})})


def unlike_file(
    suite: SuiteFile, recipe: Recipe, run: Run, asked: DeepSpeed, found: Sequence[Problem]
) -> list[Problem]:
    """What the file and a recipe say differently, but for what was found before."""
    ranks = run.ranks(run.gpus) if isinstance(run.gpus, int) else run.processes
    hint = "leave it out of the file, or write auto: the recipe decides it"
    problems = [suite.problem(_PATH, what, hint) for what in recipe_conflicts(asked, recipe, ranks)]
    return [problem for problem in problems if problem not in found]
