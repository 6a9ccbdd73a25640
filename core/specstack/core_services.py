"""Making the services that answer operations: imported, created and checked, or one line why not."""

import inspect
from importlib import import_module
from typing import Any

from specstack.conformance import method_faults
from specstack.startup import StartupError, told


def make_service(runtime: Any, name: str, module: str, protocol: type[Any] | None) -> Any:
    """What `create(runtime)` of the module gives, with every operation of its Protocol.

    Raises StartupError.
    """
    try:
        create = getattr(import_module(module), "create", None)
    except Exception as error:
        raise StartupError(f"the service {name}: {module} cannot be imported: {told(error)}") from error
    if not callable(create):
        raise StartupError(f"the service {name}: {module} has no `def create(runtime)`; add it")
    try:
        service = create(runtime)
    except StartupError:
        raise
    except Exception as error:
        raise StartupError(f"the service {name} [{module}] was not created: {told(error)}") from error
    faults = [] if protocol is None else _faults(service, protocol)
    if faults:
        raise StartupError(*(f"the service {name}: {fault} [{module}]" for fault in faults))
    return service


def _faults(service: Any, protocol: type[Any]) -> list[str]:
    names = [name for name, one in vars(protocol).items() if inspect.iscoroutinefunction(one)]
    return [fault for name in names for fault in method_faults(service, name, protocol)]
