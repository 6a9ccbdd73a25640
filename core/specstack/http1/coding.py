"""Undoing the compression of replies."""

import zlib

from specstack.http1.connection import Broken

_GZIP_OR_ZLIB = 47
_BARE = -zlib.MAX_WBITS
LARGEST = 256 * 1024 * 1024
"""Bytes that a compressed reply may stand for: a small one can unfold to any size."""


class Inflater:
    """Undoes one reply's gzip or deflate, as its bytes come. Raises `Broken` for another coding."""

    __slots__ = ("_begun", "_inner", "_left")

    def __init__(self, coding: str) -> None:
        if coding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
            raise Broken("its reply is compressed in a way that nobody asked for")
        self._inner = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._begun = False
        self._left = LARGEST

    def feed(self, data: bytes) -> bytes:
        """What the next bytes stand for. Raises `Broken` for what is not compressed so."""
        try:
            plain = self._fed(data)
            while self._inner.eof and self._inner.unused_data:  # members of a gzip file, one after the other
                rest = self._inner.unused_data
                self._inner = zlib.decompressobj(_GZIP_OR_ZLIB)
                plain += self._unfolded(rest)
        except zlib.error:
            raise Broken("its compressed reply is damaged") from None
        return plain

    def end(self) -> None:
        """Raises `Broken` when the reply stopped in the middle."""
        if self._begun and not self._inner.eof:
            raise Broken("its reply ended before it was complete")

    def _fed(self, data: bytes) -> bytes:
        first, self._begun = not self._begun, self._begun or bool(data)
        try:
            return self._unfolded(data)
        except zlib.error:
            if not first:
                raise
        # "deflate" means zlib's format, but some servers send it bare.
        self._inner = zlib.decompressobj(_BARE)
        return self._unfolded(data)

    def _unfolded(self, data: bytes) -> bytes:
        plain = self._inner.decompress(data, self._left + 1)
        self._left -= len(plain)
        if self._left < 0:
            raise Broken(f"its compressed reply is larger than {LARGEST // 1024 // 1024} MB")
        return plain
