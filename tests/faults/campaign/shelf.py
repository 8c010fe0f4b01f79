"""The S3 server of the campaign: moto's, whose objects are in its memory, behind a proxy that is killed and frozen.

The campaign itself looks at the server directly, whatever its proxy is at.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.s3_server import BUCKET, S3Server

_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
_CELLS = "run/units/cells/"
_OF_A_RUN = ("lock.json", ".nonce")
"""Parts of the names of objects that no run leaves."""


class Shelf(S3Server):
    """The server, and a folder in which the journals lie as it has them."""

    def __init__(self, seen: Path) -> None:
        super().__init__()
        self.seen = seen
        self._known: dict[str, str] = {}

    @cached_property
    def _made(self) -> Any:
        return boto3.client("s3", endpoint_url=self.address, config=Config(proxies={}), **_KEYS)

    def _client(self) -> Any:
        return self._made

    def look(self) -> None:
        """Makes the folder what the server has: of each cell the journal of its last whole state."""
        listed = self._made.list_objects_v2(Bucket=BUCKET, Prefix=_CELLS).get("Contents", [])
        for key, tag in [(each["Key"], f"{each['ETag']} {each['LastModified']}") for each in listed]:
            cell = Path(key).stem
            if cell.startswith(".") or self._known.get(key) == tag:
                continue
            try:
                named = json.loads(self.content(key))["files"].get("events.jsonl")
                journal = self.content(f"run/content/cells/{cell}/{named['sha256']}") if named else b""
            except ClientError:
                continue  # another state took its place meanwhile
            target = self.seen / "cells" / cell / "events.jsonl"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(journal)
            self._known[key] = tag

    def left_over(self) -> list[str]:
        """Objects of states that did not become whole, and of runs that go on."""
        keys = self.objects()
        found = [key for key in keys if any(name in key for name in _OF_A_RUN)]
        for root in ("run", "data"):
            pointers = [key for key in keys if key.startswith(f"{root}/units/")]
            found += [key for key in pointers if key.endswith((".anew.json", ".old.json"))]
            named = {each["sha256"] for key in pointers for each in json.loads(self.content(key))["files"].values()}
            content = [key for key in keys if key.startswith(f"{root}/content/")]
            found += [key for key in content if key.rpartition("/")[2] not in named]
        uploads = self._made.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return sorted(found) + [f"the parts of {each['Key']}" for each in uploads]
