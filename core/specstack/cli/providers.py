"""`specstack providers`: provider types, or the providers of a running server."""

from typing import Annotated

import typer

from specstack.cli.output import DEFAULT_URL, Joined, Url, connected, fail, table


def providers(
    config: Joined = None,
    running: Annotated[bool, typer.Option("--running", "-r", help="Those of the running server.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the provider types that a run config can name, or a running server's providers.

    Examples:

    \b
      specstack providers               every type, and the pip extra it needs
      specstack providers my-config.yaml     those of its external folders too
      specstack providers --running     what the running server uses, and how each is
    """
    if running:
        with connected(url) as client:
            found = client.providers.list_providers().data
        rows = [["PROVIDER", "TYPE", "API", "HEALTH"]]
        for one in found:
            health = f"{one.health.status} {one.health.message}".strip()
            rows.append([one.provider_id, one.provider_type, one.api, health])
        table(rows)
        return
    from specstack.cli.loading import server_for
    from specstack.external import provider_types
    from specstack.startup import StartupError

    try:
        known = provider_types(server_for(config))
    except StartupError as error:
        fail(*error.lines)
    rows = [["TYPE", "API", "EXTRA", "STABILITY", "WHAT IT IS"]]
    for one in known.values():
        rows.append([one.provider_type, one.api, one.extra or "-", one.stability, one.summary])
    table(rows)
