"""The HTTP side of the runtime.

Generated routers need `endpoint` and `api_router`; assembly needs `build_app`.
"""

from specstack.http.app import build_app
from specstack.http.call import Call, Observe, Observer, ObserverFor
from specstack.http.dispatch import SpecApp
from specstack.http.endpoint import Endpoint, api_router, endpoint, endpoints_of
from specstack.http.errors import ErrorTable
from specstack.http.settings import Hook, HttpSettings

__all__ = [
    "Call",
    "Endpoint",
    "ErrorTable",
    "Hook",
    "HttpSettings",
    "Observe",
    "Observer",
    "ObserverFor",
    "SpecApp",
    "api_router",
    "build_app",
    "endpoint",
    "endpoints_of",
]
