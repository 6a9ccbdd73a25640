"""A small HTTP/1.1 client for calls to upstreams: kept connections, a parser in C, no layers in between."""

from specstack.http1.connection import Broken, Connection
from specstack.http1.dial import ConnectTimeout, Target, Unreachable
from specstack.http1.origin import Origin
from specstack.http1.request import RequestHead

__all__ = ["Broken", "ConnectTimeout", "Connection", "Origin", "RequestHead", "Target", "Unreachable"]
