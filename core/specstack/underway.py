"""Which call the current task works for. The log alone asks, for the ids in its lines.

Everything else gets the context handed over. A task that outlives the call that began it works for nobody.
"""

from contextvars import ContextVar
from weakref import ReferenceType, ref

from specstack_wire import RequestContext

_current: ContextVar[ReferenceType[RequestContext] | None] = ContextVar("specstack_call", default=None)


def note_call(ctx: RequestContext) -> None:
    """The current task, and those that it begins, work for this call from now on."""
    _current.set(ref(ctx))


def current_call() -> RequestContext | None:
    """The call that the current task works for, while it lasts."""
    found = _current.get()
    return None if found is None else found()
