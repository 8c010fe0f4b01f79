"""A real S3 server on loopback, moto's, in a process of its own, which a test may kill."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer

BUCKET = "sets"


class S3Server:
    """The server's process and its address; `url` is where sets are pushed."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.url = f"s3://{BUCKET}/prepared"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts it, empty, with its bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                break
            except OSError:
                assert self._process.poll() is None, "the server ended"
                time.sleep(0.1)
        self._client().create_bucket(Bucket=BUCKET)

    def kill(self) -> None:
        """Ends it by its process id."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def objects(self) -> dict[str, int]:
        """Bytes of every object, by key."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def content(self, key: str) -> bytes:
        """Of one object."""
        return bytes(self._client().get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def remove(self, key: str) -> None:
        self._client().delete_object(Bucket=BUCKET, Key=key)

    def _client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.address, region_name="us-east-1")


class KeptServer(S3Server):
    """A server in threads of this process, whose content outlives it."""

    def __init__(self) -> None:
        super().__init__()
        self._threads: ThreadedMotoServer | None = None

    def start(self) -> None:
        begun = ThreadedMotoServer("127.0.0.1", self.port)
        begun.start()
        first, self._threads = self._threads is None, begun
        if first and BUCKET not in [each["Name"] for each in self._client().list_buckets()["Buckets"]]:
            self._client().create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        assert self._threads is not None
        self._threads.stop()

    def kill(self) -> None:
        for key in self.objects():
            self.remove(key)
        self.stop()


@contextmanager
def kept_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptServer]:
    """As `s3_server`, one that may stop and start again with its content."""
    server = KeptServer()
    with serving(server, monkeypatch):
        yield server


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server for a test, with the environment in which `s3://` means it."""
    server = S3Server()
    with serving(server, monkeypatch):
        yield server


@contextmanager
def serving(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server, with the environment in which `s3://` means it."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", server.address),
        ("AWS_MAX_ATTEMPTS", "1"),
        ("NO_PROXY", "127.0.0.1"),
    ):
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]:
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        server.start()
        yield
    finally:
        server.kill()
        s3fs.S3FileSystem.clear_instance_cache()
