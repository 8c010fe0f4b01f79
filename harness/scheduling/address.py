"""How the address of a Ray cluster is written."""

from __future__ import annotations

ADDRESSES = "auto, or host:port"
"""What to try in place of a wrong one."""


def is_address(address: str) -> bool:
    """Whether a text can be the address of a Ray cluster, other than `auto`."""
    host, _, port = address.rpartition(":")
    return bool(host.strip()) and port.isascii() and port.isdigit() and 0 < int(port[:9]) < 65536
