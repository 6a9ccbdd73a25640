"""Whether what a provider's `create` returned is what its spec promises. Checked once, at start-up."""

import inspect
from typing import Any

from specstack.descriptors import ProviderSpec

_HOOKS = ("start", "stop", "health")


def faults_of(provider: Any, spec: ProviderSpec, protocol: type[Any]) -> list[str]:
    """What is wrong with an implementation, each in a few words; empty when nothing is."""
    if inspect.isclass(provider):
        return [f"create returned the class {provider.__name__}, not an instance of it"]
    faults = [
        f"it has no method {name}; inherit from {protocol.__name__}"
        for name in _HOOKS
        if not callable(getattr(provider, name, None))
    ]
    for name in spec.capabilities:
        faults.extend(method_faults(provider, name, protocol, ", which its spec lists as a capability"))
    return faults


def method_faults(provider: Any, name: str, protocol: type[Any], why: str = "") -> list[str]:
    """What is wrong with one method of an implementation; `why` says who promises it."""
    method = getattr(provider, name, None)
    promised = getattr(protocol, name, None)
    if promised is None:
        return [f"its spec lists the capability {name}, which {protocol.__name__} does not have"]
    if method is None or getattr(method, "__func__", None) is promised:
        return [f"it does not implement {name}{why}"]
    if not callable(method):
        return [f"{name} is no method"]
    function = inspect.unwrap(method)
    if not inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(type(function).__call__):
        return [f"{name} is not declared with `async def`"]
    wanted = [one for one in inspect.signature(promised).parameters if one != "self"]
    try:
        inspect.signature(method).bind(*wanted)
    except TypeError:
        actual = inspect.signature(method)
        return [f"{name}{actual} does not take ({', '.join(wanted)})"]
    return []
