"""A user's part, as a plug-in file."""

from torch import nn


class Guest(nn.Module):
    """Breaks whatever a test says."""
