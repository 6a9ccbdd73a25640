"""Bytes in and out: uploads spooled to disk and binary replies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_CHUNK = 1 << 16


@dataclass(slots=True)
class Upload:
    """A received file of `size` bytes. `path` is a temporary file, removed when the request ends."""

    filename: str | None
    media_type: str | None
    size: int
    path: Path

    def open(self) -> BinaryIO:
        """The file's content, for reading in blocking code."""
        return self.path.open("rb")

    async def read(self) -> bytes:
        """The whole content, read off the event loop."""
        return await asyncio.to_thread(self.path.read_bytes)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


@dataclass(slots=True)
class Binary:
    """A reply that is not JSON: bytes in memory, a file, or an async iterator of chunks.

    `length` is the size in bytes where it is known; `filename` becomes a content-disposition header.
    """

    source: bytes | Path | AsyncIterator[bytes]
    media_type: str = "application/octet-stream"
    filename: str | None = None
    length: int | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content in pieces of moderate size; file reads happen off the event loop."""
        if isinstance(self.source, bytes):
            yield self.source
            return
        if not isinstance(self.source, Path):
            async for chunk in self.source:
                yield chunk
            return
        file = await asyncio.to_thread(self.source.open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
        finally:
            file.close()
