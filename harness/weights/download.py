"""Downloads one file, which appears only when it is complete and the right one."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from harness.core.errors import DataError, HarnessError, MissingWeights
from harness.core.paths import atomic_file

PATIENCE = 30
"""Seconds of silence after which a server is given up."""

PIECE = 1 << 20


def download(
    url: str,
    path: Path,
    *,
    problem: Callable[[str], str] = lambda sha256: "",
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> str:
    """Fetches a file to `path`, which appears when it is complete and `problem` finds nothing in its SHA-256.

    `progress` gets the number of bytes received and of all bytes, None where the server does not say. Returns the
    SHA-256. Raises MissingWeights when the file cannot be downloaded:
    no network, no such address, a page in its place, a connection that
    breaks off; DataError (kind `weights`) for a file with another digest; HarnessError (kind `storage`) when it cannot
    be written.
    """
    if not url.startswith(("http://", "https://")):
        raise HarnessError(f"only http and https addresses can be fetched, not {url}")
    with atomic_file(path) as temporary:
        try:
            found = _receive(url, temporary, progress)
        except HTTPError as error:
            raise MissingWeights(f"the server answers {error.code} {error.reason}", where=url) from error
        except (URLError, OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename:  # a file of ours, not the network
                raise
            reason = error.reason if isinstance(error, URLError) else error
            why = (reason.strerror if isinstance(reason, OSError) else "") or str(reason) or type(reason).__name__
            raise MissingWeights(f"cannot be reached ({why})", where=url) from error
        if wrong := problem(found):
            raise DataError(wrong, where=url, kind="weights")
    return found


def _receive(url: str, path: Path, progress: Callable[[int, int | None], None]) -> str:
    digest, done = hashlib.sha256(), 0
    with urlopen(Request(url, headers={"User-Agent": "priorbench"}), timeout=PATIENCE) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise MissingWeights("a web page comes in place of the file", where=url)
        length = answer.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        with open(path, "wb") as file:
            while piece := answer.read(PIECE):
                try:
                    file.write(piece)
                except OSError as error:
                    error.filename = str(path)  # which a failed write does not say
                    raise
                digest.update(piece)
                done += len(piece)
                progress(done, total)
    if total is not None and done != total:
        raise MissingWeights(f"the connection broke off after {done:,} of {total:,} bytes", where=url)
    return digest.hexdigest()
