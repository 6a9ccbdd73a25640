"""`specstack routes`: every path of the spec, or those of a running server."""

from typing import Annotated

import typer

from specstack.cli.output import DEFAULT_URL, Url, connected, table


def routes(
    running: Annotated[bool, typer.Option("--running", "-r", help="Those of the running server.")] = False,
    aliases: Annotated[bool, typer.Option("--aliases", help="Older paths too.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the routes of the spec, or of a running server.

    Examples:

    \b
      specstack routes
      specstack routes --aliases      with the older paths
      specstack routes --running      with the provider types behind each
    """
    if running:
        with connected(url) as client:
            found = list(client.inspect.list_routes().data)
            if aliases:
                found += client.inspect.list_routes(api_filter="deprecated").data
        table([[one.method, one.route, ", ".join(one.provider_types) or "-"] for one in found])
        return
    from specstack_server.dispatch import DISPATCH

    table([[method, path, api] for method, path, api, _, alias in DISPATCH if aliases or not alias])
