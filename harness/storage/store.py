"""A folder on a store: its objects by key, each of which appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.beat import beat
from harness.core.errors import HarnessError
from harness.core.text import shown_name
from harness.storage.reach import done, is_local, is_url, store_of

if TYPE_CHECKING:
    import fsspec


@dataclass(frozen=True)
class Seen:
    """An object as a listing shows it."""

    bytes: int
    changed: str
    """Another text whenever it was written; empty where the store does not say."""
    at: float | None
    """When it was written, by the store's clock, in seconds."""


@dataclass(frozen=True)
class Store:
    """The folder of a URL. All raise as harness.storage.reach.done."""

    url: str

    @cached_property
    def _found(self) -> tuple[fsspec.AbstractFileSystem, str]:
        return store_of(self.url)

    def _path(self, key: str) -> str:
        return f"{self._found[1].rstrip('/')}/{key}" if key else self._found[1].rstrip("/")

    def _where(self, key: str) -> str:
        return f"{self.url}/{key}"

    def read(self, key: str) -> bytes | None:
        """An object's content; None when there is none."""

        def action() -> bytes | None:
            try:
                return bytes(self._found[0].cat_file(self._path(key)))
            except FileNotFoundError:
                return None

        return done(action, self._where(key))

    def write(self, key: str, content: bytes) -> None:
        done(lambda: self._found[0].pipe_file(self._path(key), content), self._where(key))

    def put(self, key: str, file: Path) -> None:
        done(lambda: self._found[0].put_file(str(file), self._path(key), callback=_beating()), self._where(key))

    def get(self, key: str, file: Path) -> bool:
        """Writes an object to a file, not atomically; whether there is one."""

        def action() -> bool:
            try:
                self._found[0].get_file(self._path(key), str(file), callback=_beating())
            except FileNotFoundError as error:
                if error.filename is not None and not file.parent.is_dir():
                    raise
                return False
            return True

        return done(action, self._where(key))

    def remove(self, keys: Iterable[str]) -> None:
        """Nothing happens to what is not there."""
        for key in keys:

            def action(key: str = key) -> None:
                with suppress(FileNotFoundError):
                    self._found[0].rm_file(self._path(key))

            done(action, self._where(key))

    def find(self, prefix: str) -> dict[str, Seen]:
        """All objects below a prefix that is a folder, by key, or that object itself."""

        def action() -> dict[str, Any]:
            try:
                listed: dict[str, Any] = self._found[0].find(self._path(prefix), detail=True)
            except FileNotFoundError:
                return {}
            return listed

        root = self._path("") + "/"
        found = done(action, self._where(prefix))
        return {name.split(root, 1)[1]: _seen(info) for name, info in found.items() if root in name}

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders in a folder."""

        def action() -> list[dict[str, Any]]:
            try:
                return list(self._found[0].ls(self._path(prefix), detail=True))
            except FileNotFoundError:
                return []

        listed = done(action, self._where(prefix))
        return sorted(each["name"].rstrip("/").rpartition("/")[2] for each in listed if each["type"] == "directory")

    def check(self, *, writes: bool) -> None:
        """Raises HarnessError where this cannot be used: no such bucket, no rights, no library. `writes`: tries to."""
        file_system, path = self._found
        bucket = path.lstrip("/").partition("/")[0]
        if not bucket and self.url.split("://")[0] in ("s3", "s3a", "gs", "gcs", "az", "abfs"):
            raise HarnessError("it names no bucket", where=self.url, hint="s3://BUCKET/FOLDER")

        def there() -> bool:
            try:
                if self.url.startswith(("s3://", "s3a://")):  # whose `exists` is false for whatever goes wrong
                    file_system.call_s3("head_bucket", Bucket=bucket)
            except FileNotFoundError:
                return False
            return True

        if not done(there, self.url):
            hint = f"make the bucket {bucket} first, or see the URL and the endpoint (AWS_ENDPOINT_URL)"
            raise HarnessError("there is no such bucket, or it is not yours", where=self.url, hint=hint, kind="storage")
        if writes:
            self.write(PROBE, b"")


PROBE = ".probe"
"""An object that is written to see whether one can."""


def _beating() -> fsspec.Callback:
    """Signs of life while a large object is on its way."""
    from fsspec import Callback  # here, as every command would wait for it

    return Callback(hooks={"beat": lambda *_, **__: beat()})


def _seen(info: dict[str, Any]) -> Seen:
    at = next((info[name] for name in ("LastModified", "mtime", "created", "updated") if info.get(name)), None)
    stamp = at.timestamp() if isinstance(at, datetime) else float(at) if isinstance(at, int | float) else None
    tag = next((info[name] for name in ("ETag", "etag", "md5Hash", "content_md5") if info.get(name)), "")
    return Seen(int(info.get("size") or 0), f"{tag} {stamp}" if tag or stamp else "", stamp)


def parsed(url: str) -> str:
    """A URL of `--out` or `--data`, without a slash at its end. Raises HarnessError for one that is none."""
    if not is_url(url):
        raise HarnessError(f"{shown_name(url)} is no URL", hint="s3://BUCKET/FOLDER")
    scheme, rest = url.split("://", 1)
    if any(part in (".", "..") for part in rest.split("/")) or not url.isprintable() or "?" in rest or "#" in rest:
        raise HarnessError("this cannot be the URL of a folder", where=shown_name(url, 200), hint="s3://BUCKET/FOLDER")
    plain = f"{scheme.lower()}://{'/'.join(part for part in rest.split('/') if part)}"
    if is_local(store_of(plain)[0]):
        raise HarnessError(
            "this is a folder of this machine", where=shown_name(url, 200), hint="name it without file://"
        )
    return plain
