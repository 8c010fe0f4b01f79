"""What MLflow's errors mean: a server that is not there, one that cannot now, and one that refuses one thing."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.errors import DataError, HarnessError
from harness.core.text import shortened

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Read when MLflow is imported. A server that is down must not hold up a run; the user's own settings stand."""

_NO_ANSWER = ("failed with exception", "failed with timeout exception", "Max retries exceeded")
"""How MLflow says that nobody answered; it has no error code for that."""

_FOR_ALL = {
    "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED",
    "PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED",
}  # fmt: skip
"""Codes of answers that every further request would get."""


class Unreachable(HarnessError):
    """Nothing can be mirrored now: the server is down, the database locked, or the artifact store not writable."""


class Refused(DataError):
    """The server is there and does not take what it was given; other things it may take."""


@contextmanager
def answered(uri: str) -> Iterator[None]:
    """Imports MLflow, set up; gives the errors of MLflow and its stores as Unreachable or Refused, in one line."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # errors are reported once, by this module
    try:
        yield
    except MlflowException as error:
        raise _of_mlflow(error.error_code, str(error), uri) from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _cannot(_first_line(error), uri) from error
    except OSError as error:
        raise _cannot(f"an artifact cannot be read or written: {_first_line(error)}", uri) from error


def _of_mlflow(code: str, text: str, uri: str) -> HarnessError:
    said = shortened((text.strip() or code).splitlines()[0], 300)
    if uri.partition(":")[0] in ("http", "https") and any(sign in text for sign in _NO_ANSWER):
        hint = "bench track sync, once it is back"
        return Unreachable(f"MLflow does not answer: {said}", where=uri, hint=hint, kind="storage")
    full_or_locked = any(sign in text for sign in ("OperationalError", "disk is full", "No space left"))
    if code in _FOR_ALL or (code == "INTERNAL_ERROR" and full_or_locked) or "out-of-date database schema" in text:
        return _cannot(said, uri)
    return Refused(f"MLflow refuses it: {said}", where=uri, hint="bench track sync, once that is mended")


def _cannot(said: str, uri: str) -> Unreachable:
    return Unreachable(f"MLflow cannot now: {said}", where=uri, hint="bench track sync, later", kind="storage")


def _first_line(error: Exception) -> str:
    return shortened((str(error).strip() or type(error).__name__).splitlines()[0], 300)
