"""Data sets of the field, read by what they declare (harness.api.source): files found, paired, checked and decoded."""

from harness.parts.shared.declared.base import Declared

__all__ = ["Declared"]
