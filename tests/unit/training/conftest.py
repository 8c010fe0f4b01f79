"""The small world's fixtures."""

from tests.small_world import prepared, world

__all__ = ["prepared", "world"]
