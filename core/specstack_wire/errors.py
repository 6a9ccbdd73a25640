"""The base of every error that reaches a client; the classes themselves are generated from the spec."""

from collections.abc import Mapping
from typing import ClassVar


class ApiError(Exception):
    """An error with an HTTP status and a place in the API's error envelope.

    `message` is for the person who reads it: what went wrong, where, what to do. `param` names the
    request field at fault. `headers` are added to the reply (for example retry-after, in seconds).
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(
        self, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers: Mapping[str, str] = headers or {}


class OperationNotSupported(ApiError):
    """The provider that serves a resource does not implement the operation."""

    status = 501
    type = "invalid_request_error"
    code = "operation_not_supported"

    @classmethod
    def of(cls, provider: object, operation: str) -> "OperationNotSupported":
        """The error for a method that a provider did not override."""
        name = type(provider).__name__
        return cls(
            f"{name} does not support {operation}; choose a model or resource of a provider that does."
        )


class RecordingMissing(ApiError):
    """A replay was asked for what nobody has recorded. The message shows the nearest recording."""

    status = 500
    type = "server_error"
    code = "recording_missing"


class UpstreamError(ApiError):
    """A call to another server failed. Providers turn it into an error of the spec's upstream table."""

    status = 502
    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection could be made: refused, unknown host, TLS failure."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """The upstream took longer than the configured timeout."""

    status = 504
    code = "upstream_timeout"


class UpstreamBroken(UpstreamError):
    """The upstream broke off or sent something that is no reply. `raw` holds its own error object, if any."""

    code = "upstream_broken"

    def __init__(self, message: str, *, raw: bytes | None = None) -> None:
        super().__init__(message)
        self.raw = raw
