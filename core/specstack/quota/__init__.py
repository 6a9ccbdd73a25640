"""Quotas: how many requests and tokens a caller may use in a window of time, counted in a KVStore.

`limits` says which counters a call has, `ledger` counts, `gate` is the hook that lets calls in, `tokens` the
observer that counts what they took. Without limits in the run config none of it is imported.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from specstack.descriptors import Operation
from specstack.http import ErrorTable
from specstack.quota.gate import Gate
from specstack.quota.ledger import Ledger
from specstack.quota.tokens import token_counter
from specstack_wire import Clock, KVStore

if TYPE_CHECKING:
    from specstack_api.run_config import QuotaConfig

__all__ = ["Gate", "gate_of", "token_counter"]


def gate_of(
    settings: "QuotaConfig",
    store: KVStore,
    operations: Iterable[Operation],
    errors: ErrorTable,
    clock: Clock,
) -> Gate:
    """The gate of a server that serves `operations`; public ones are never counted."""
    named = settings.operations
    counted = [
        op for op in operations if not op.public and (named is None or op.id in named or op.api in named)
    ]
    told = [op.id for op in counted if op.usage is not None]
    return Gate(settings, Ledger(store), [op.id for op in counted], told, errors, clock)
