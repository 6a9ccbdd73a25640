"""The handwritten contract between the spec's generated code, the runtime and providers.

Imports nothing of specstack and needs pydantic alone. Everything that a provider author needs
is re-exported here, but for `specstack_wire.transports`, which need httpx or httpx2.
"""

from specstack_wire.base import MISSING, ApiModel, ClosedModel, JsonInt, given, is_given, tag_of
from specstack_wire.callouts import DIRECT, CallOuts
from specstack_wire.codec import codec_of
from specstack_wire.context import Cancellation, Principal, RequestContext, Served
from specstack_wire.errors import (
    ApiError,
    OperationNotSupported,
    RecordingMissing,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from specstack_wire.event import Event
from specstack_wire.files import Binary, Upload
from specstack_wire.kv import SHARED, KVItem, KVStore, Scope, StorageUnavailable
from specstack_wire.payload import NO_PARAMS, NoParams, Payload, Request
from specstack_wire.provider import Clock, Deps, Health, Ids, Provider
from specstack_wire.relay import tells_error
from specstack_wire.sql import Conflict, Owned, OwnedColumns, SqlStore, Values
from specstack_wire.stream import Stream
from specstack_wire.upstream import Upstream, UpstreamReply, UpstreamSettings, UpstreamStream

__all__ = [
    "DIRECT",
    "MISSING",
    "NO_PARAMS",
    "SHARED",
    "ApiError",
    "ApiModel",
    "Binary",
    "CallOuts",
    "Cancellation",
    "Clock",
    "ClosedModel",
    "Conflict",
    "Deps",
    "Event",
    "Health",
    "Ids",
    "JsonInt",
    "KVItem",
    "KVStore",
    "NoParams",
    "OperationNotSupported",
    "Owned",
    "OwnedColumns",
    "Payload",
    "Principal",
    "Provider",
    "RecordingMissing",
    "Request",
    "RequestContext",
    "Scope",
    "Served",
    "SqlStore",
    "StorageUnavailable",
    "Stream",
    "Upload",
    "Upstream",
    "UpstreamBroken",
    "UpstreamError",
    "UpstreamReply",
    "UpstreamSettings",
    "UpstreamStream",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "Values",
    "codec_of",
    "given",
    "is_given",
    "tag_of",
    "tells_error",
]
