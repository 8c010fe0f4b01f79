"""Signs of life of the job that this process runs, for those who run jobs (harness.core.beat)."""

from harness.core.beat import beat as beat
from harness.core.beat import beats as beats
