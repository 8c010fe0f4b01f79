from tests.suite_world import shared_world, trained, world

__all__ = ["shared_world", "trained", "world"]
