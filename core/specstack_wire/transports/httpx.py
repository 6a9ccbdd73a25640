"""The recorder's seam for vendors' packages that are built on httpx.

A provider hands a transport to the client of the package, and its calls can be recorded and replayed:

    vendor.AsyncClient(http_client=httpx.AsyncClient(transport=RecordedTransport(deps.calls)))

Where nobody records, calls go straight to the transport inside.
"""

import httpx

from specstack_wire.transports.seam import AsyncBody, AsyncSeam, SyncBody, SyncSeam


class _Body(AsyncBody, httpx.AsyncByteStream):
    """As httpx wants it."""


class _SyncBody(SyncBody, httpx.SyncByteStream):
    """As httpx wants it."""


class RecordedTransport(AsyncSeam[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport):
    """Calls through `calls`, and from there through `inner`, by default one of httpx's own.

    Hosts and headers are no part of what is compared, and of a reply's headers a few are kept. Raises
    httpx's own errors. What a replay does not have is answered with status 424 and a text that says what.
    """

    library = httpx
    body = _Body


class RecordedSyncTransport(SyncSeam[httpx.BaseTransport], httpx.BaseTransport):
    """The same for clients that block. Make it where the event loop runs, and call the client in threads."""

    library = httpx
    body = _SyncBody
