"""Which file system a URL such as `s3://bucket` means, and actions on it that outlast lost connections."""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.core.beat import beat
from harness.core.errors import DataError, HarnessError
from harness.core.paths import storage_error

if TYPE_CHECKING:
    import fsspec

log = logging.getLogger(__name__)

T = TypeVar("T")

WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between the tries to reach a store."""
LONG_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, *(15.0,) * 12)
"""The same in the middle of a run, which a store that is away for three minutes does not end."""
_HERE = frozenset(
    [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EISDIR]
)
"""What this machine refuses, not the store: s3fs gives a store's refusals none of these."""
_S3 = {
    "retries": {"total_max_attempts": 1},
    "connect_timeout": 10,
    "read_timeout": 60,
}
"""Of botocore: nothing is tried again but by `tried`; seconds until a server that says nothing counts as lost."""
_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, on every machine"
_FINAL = {
    "NoCredentialsError": ("there are no credentials for this store", _KEYS),
    "PartialCredentialsError": ("the credentials for this store are incomplete", _KEYS),
    "TokenRetrievalError": ("the credentials for this store have expired", "log in again"),
    "ProfileNotFound": ("there is no such AWS profile", "see AWS_PROFILE"),
    "ParamValidationError": ("this cannot be the name of a bucket", "s3://BUCKET/FOLDER"),
}
"""Errors of a store's library, by name, that another try does not mend: what they mean, and what to try."""

_patience = [False]
"""Whether tries go on for minutes: of the whole process, as threads fetch, too."""


@contextmanager
def patient() -> Iterator[None]:
    """Inside, a store that cannot be reached is tried for minutes instead of seconds, in all threads."""
    before, _patience[0] = _patience[0], True
    try:
        yield
    finally:
        _patience[0] = before


def is_url(text: str) -> bool:
    """Whether this names a place on a store and not a folder: `<scheme>://…`."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def store_of(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL and the path in it. Raises HarnessError for one that cannot be used here."""
    from fsspec.core import url_to_fs  # here, as every command would wait for it

    try:
        on_s3 = {"config_kwargs": _S3} if url.startswith(("s3://", "s3a://")) else {}
        found: tuple[fsspec.AbstractFileSystem, str] = url_to_fs(url, use_listings_cache=False, **on_s3)
    except ImportError as error:
        hint = "pip install 'priorbench[s3]'" if url.startswith("s3") else str(error)
        raise HarnessError("the library for this kind of store is not installed", where=url, hint=hint) from error
    except ValueError as error:
        hint = "a folder, or a URL such as s3://bucket/sets"
        raise HarnessError(f"this is no place that can be reached: {error}", where=url, hint=hint) from error
    if on_s3:
        found[0].retries = 1  # of s3fs itself
    return found


def tried(action: Callable[[], T], url: str) -> T:
    """What an action on a store gives, tried again while the store cannot be reached.

    Raises DataError for what is not there, HarnessError (kind `storage`) when it cannot be reached or refuses, and
    OSError for what this machine's disks refuse, as all that a store in a local folder does.
    """
    for wait in (*(LONG_WAITS if _patience[0] else WAITS), None):
        try:
            return action()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError("this is not there", where=url, hint="see the URL; was all of the set pushed?") from error
        except PermissionError as error:
            if _is_local(error, url):
                raise
            hint = "see the account's rights and its keys, as AWS_ACCESS_KEY_ID"
            raise HarnessError(f"the store refuses: {error}", where=url, hint=hint, kind="storage") from error
        except HarnessError:
            raise
        except Exception as error:
            # Every store's library raises its own for a lost connection.
            if _is_local(error, url):
                raise
            _again(error, wait, url)
    raise AssertionError(url)


def done(action: Callable[[], T], url: str) -> T:
    """As `tried`, and HarnessError (kind `storage`) for what this machine's disks refuse."""
    try:
        return tried(action, url)
    except OSError as error:
        told = storage_error(error, Path(os.fsdecode(error.filename or url)))
        where = told.where if error.filename else url  # a path has no two slashes
        raise HarnessError(told.what, where=where, hint=told.hint, kind="storage") from error


def _is_local(error: Exception, url: str) -> bool:
    """Whether an error is this machine's: it names a path here, or is of a kind that no connection has."""
    if not isinstance(error, OSError):
        return False
    return error.filename is not None or error.errno in _HERE or is_local(store_of(url)[0])


def is_local(file_system: fsspec.AbstractFileSystem) -> bool:
    """Whether this is this machine's own file system."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(file_system, LocalFileSystem)


def _again(error: Exception, wait: float | None, url: str) -> None:
    """Waits for the next try. Raises HarnessError (kind `storage`) when there is none, or none would help."""
    said = " ".join(str(error).split()) or type(error).__name__
    for cause in _causes(error):
        if type(cause).__name__ in _FINAL:
            what, hint = _FINAL[type(cause).__name__]
            raise HarnessError(f"{what}: {said}", where=url, hint=hint, kind="storage") from error
    if wait is None:
        hint = "see that the store runs and can be reached, then run the same command again: it goes on"
        raise HarnessError(f"the store cannot be reached: {said}", where=url, hint=hint, kind="storage") from error
    log.warning("%s: %s; tried again in %g s", url, said, wait)
    beat()  # who waits for a store is not frozen
    time.sleep(wait)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
