"""`specstack routes`: every path of the spec, or those of a running server."""

from typing import Annotated

import typer

from specstack.cli.output import DEFAULT_URL, Joined, Url, connected, fail, table


def routes(
    config: Joined = None,
    running: Annotated[bool, typer.Option("--running", "-r", help="Those of the running server.")] = False,
    aliases: Annotated[bool, typer.Option("--aliases", help="Older paths too.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List the routes of the spec, or of a running server.

    Examples:

    \b
      specstack routes
      specstack routes --aliases      with the older paths
      specstack routes my-config.yaml     those of its external folders too
      specstack routes --running      with the provider types behind each
    """
    if running:
        with connected(url) as client:
            found = list(client.inspect.list_routes().data)
            if aliases:
                found += client.inspect.list_routes(api_filter="deprecated").data
        table([[one.method, one.route, ", ".join(one.provider_types) or "-"] for one in found])
        return
    from specstack.cli.loading import server_for
    from specstack.external import routes_of
    from specstack.startup import StartupError

    try:
        known = routes_of(server_for(config))
    except StartupError as error:
        fail(*error.lines)
    table([[method, path, api] for method, path, api, _, alias in known if aliases or not alias])
