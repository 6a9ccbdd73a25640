"""Stored chat completions: kept beside the requests, listed, fetched, changed and deleted afterwards."""

from specstack.runtime import Runtime
from specstack.services.stored_completions.service import StoredCompletions


def create(runtime: Runtime) -> StoredCompletions:
    """The service of one server."""
    return StoredCompletions(runtime)


__all__ = ["StoredCompletions", "create"]
