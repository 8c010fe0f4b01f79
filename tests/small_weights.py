"""A small network, files of its weights, and a catalogue of published weights that names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.parts.backbones.nafnet import NAFNet
from harness.weights import catalogue

OPTIONS: dict[str, Any] = {"width": 4, "enc_blk_nums": (1,), "middle_blk_num": 1, "dec_blk_nums": (1,)}

REGISTRY = """
small/net: &net
  part: backbone nafnet
  options: {{width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}
  page: https://example.org/nets
  url: {url}/net.pth
  licence: MIT
small/checked: {{<<: *net, sha256: {sha256}, note: the small one}}
small/by-hand: {{<<: *net, url: null, file: by_hand.pth}}
small/as-it-is: {{<<: *net, part: prior clip, sha256_prefix: {prefix}, place: weights/there/net.pt}}
"""


def state(width: int = 4) -> dict[str, Tensor]:
    """Weights of a network like OPTIONS'."""
    torch.manual_seed(0)
    return NAFNet(**OPTIONS | {"width": width}).state_dict()


def use_registry(
    patch: pytest.MonkeyPatch, folder: Path, url: str = "http://127.0.0.1:1", sha256: str = "f" * 64
) -> Path:
    """Makes the catalogue above the one in force; gives the folder of weights, which is not there yet."""
    file = folder / f"checkpoints_{len(list(folder.glob('checkpoints_*')))}.yaml"  # each is read once
    file.write_text(REGISTRY.format(url=url, sha256=sha256, prefix=sha256[:8]))
    patch.setattr(catalogue, "FILE", file)
    patch.setenv("PRIORBENCH_WEIGHTS", str(folder / "weights"))
    return folder / "weights"


class _Handler(SimpleHTTPRequestHandler):
    """Serves files; one that is called `broken…` ends before its end."""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        outputfile.write(content[: len(content) // 2] if "broken" in self.path else content)


@contextmanager
def served(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serves a folder on this machine; gives the address."""
    for name in ("no_proxy", "NO_PROXY"):
        patch.setenv(name, "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
