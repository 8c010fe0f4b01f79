"""The task `my_part`: say here what is solved."""

from __future__ import annotations

from harness.api.task import TaskTraits


class MyPart:
    """Remove strong white noise; scored on 8-bit RGB. (This line is shown by `bench list tasks`.)

    Say here what the options mean.
    """

    # A task consists of its traits alone. The degradation is one of `bench list degradations`, or of this file.
    # `options` are those of its options that a suite may set, `settings` are values that differ from its own defaults.
    # The protocol says how images are scored: one of `bench list protocols`, or one of your own.
    traits = TaskTraits(
        degradation="gaussian_noise", options=("sigma",), settings={"sigma": 50.0}, protocol="rgb_uint8"
    )


CATALOGUE = (("task", "my_part", "MyPart"),)
