"""`python -m tests.faults.campaign.proxy PORT TARGET`: hands on what comes at a port of loopback to another one.

A server that keeps its content in memory is lost to its clients when this is killed, or frozen, and is itself again
when this goes on.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(1 << 16):
            writer.write(content)
            await writer.drain()
    writer.close()


async def serve(port: int, target: int) -> None:
    """Until it is cancelled. Raises OSError for a port that is taken."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_hand_on(reader, far_writer), _hand_on(far_reader, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
