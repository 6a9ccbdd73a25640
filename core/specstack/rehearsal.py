"""What start-up would refuse and can be told without a provider, a connection or a store."""

import logging
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import BaseModel, SecretStr

from specstack.config import ConfiguredProvider, RunConfig
from specstack.descriptors import GeneratedServer
from specstack.entries import Member
from specstack.order import describe, start_order
from specstack.references import load_reference
from specstack.routing import RoutingTable
from specstack.sources import SystemClock
from specstack.startup import StartupError
from specstack.tls import server_context
from specstack.upstream import check_settings
from specstack_wire import ApiError, RequestContext, UpstreamSettings

_OF_UPSTREAMS = ("base_url", "headers", "proxy", "verify_tls", "max_connections", "connect_timeout_seconds")
"""The settings that a provider has which calls another server: the group `upstream`, and where that is."""


def start_faults(config: RunConfig) -> list[str]:
    """Every fault of a run config that reads well, a line each, in the words of start-up."""
    lines: list[str] = []
    if config.stack.server.tls is not None:
        try:
            server_context(config.stack.server.tls)
        except StartupError as error:
            lines += error.lines
    try:
        providers = start_order(config, config.server)
    except StartupError as error:
        return [*lines, *error.lines]
    for one in providers:
        why = _unreachable(one.config)
        if why is not None:
            lines.append(f"{one.where}: {describe(one)} did not create: {why}")
    return [*lines, *enter_configured(config, _tables(config.server, providers))]


def enter_configured(config: RunConfig, tables: Mapping[str, RoutingTable[Any, Any]]) -> Iterator[str]:
    """Enter the run config's resources into the tables; a line for each that does not fit."""
    ctx = RequestContext(request_id="run-config")
    for table in tables.values():
        for where, item in config.registered.get(table.resource.plural, ()):
            try:
                table.add(ctx, table.registration(item), source="config")
            except ApiError as error:
                yield f"{where}: {error.message}"


def _tables(
    server: GeneratedServer, providers: list[ConfiguredProvider]
) -> dict[str, RoutingTable[Any, Any]]:
    """The server's tables with providers that are names alone."""
    roles, log = import_module(server.errors).ROLES, logging.getLogger(__name__)
    tables: dict[str, RoutingTable[Any, Any]] = {}
    for name, reference in server.tables.items():
        tables[name] = load_reference(reference)(roles=roles, clock=SystemClock(), log=log)
    for one in providers:
        for name in server.apis[one.api].routed_by:
            table = tables[name]
            member = Member(None, offers=table.resource.offers(one.config))
            table.join(one.provider_id, member, default=one.default)
    return tables


def _unreachable(config: BaseModel) -> str | None:
    """Why no call could be made to the server that a provider's settings describe."""
    if not all(name in type(config).model_fields for name in _OF_UPSTREAMS):
        return None
    found: Any = config
    given: Mapping[str, SecretStr] = found.headers or {}
    headers = {name: value.get_secret_value() for name, value in given.items()}
    try:
        check_settings(
            UpstreamSettings(found.base_url, headers, proxy=found.proxy, verify_tls=found.verify_tls)
        )
    except ValueError as error:
        return str(error)
    return None
