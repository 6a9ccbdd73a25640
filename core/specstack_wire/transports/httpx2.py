"""The recorder's seam for vendors' packages that are built on httpx2.

A provider hands a transport to the client of the package, and its calls can be recorded and replayed:

    vendor.AsyncClient(http_client=httpx2.AsyncClient(transport=RecordedTransport(deps.calls)))

Where nobody records, calls go straight to the transport inside.
"""

import httpx2

from specstack_wire.transports.seam import AsyncBody, AsyncSeam, SyncBody, SyncSeam


class _Body(AsyncBody, httpx2.AsyncByteStream):
    """As httpx2 wants it."""


class _SyncBody(SyncBody, httpx2.SyncByteStream):
    """As httpx2 wants it."""


class RecordedTransport(AsyncSeam[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport):
    """Calls through `calls`, and from there through `inner`, by default one of httpx2's own.

    Hosts and headers are no part of what is compared, and of a reply's headers a few are kept. Raises
    httpx2's own errors. What a replay does not have is answered with status 424 and a text that says what.
    """

    library = httpx2
    body = _Body


class RecordedSyncTransport(SyncSeam[httpx2.BaseTransport], httpx2.BaseTransport):
    """The same for clients that block. Make it where the event loop runs, and call the client in threads."""

    library = httpx2
    body = _SyncBody
