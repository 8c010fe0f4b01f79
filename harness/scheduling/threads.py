"""How many threads the numeric libraries of a worker start."""

from __future__ import annotations

import os

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def set_threads(cpus: int) -> None:
    """Makes numeric libraries that are imported from now on use `cpus` threads.

    They read these variables once, when they are loaded. The number is part of a suite, not of the machine, as the
    order of float sums depends on it.
    """
    for variable in VARIABLES:
        os.environ[variable] = str(cpus)
