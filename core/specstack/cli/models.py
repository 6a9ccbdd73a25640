"""`specstack models`: what a server offers, and the weights in the cache."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from specstack.cli.output import DEFAULT_URL, Url, connected, fail, table

if TYPE_CHECKING:
    from specstack_providers.model_store import ModelStore

DEFAULT_DISTRO = "starter"

models = typer.Typer(
    help="List the models of a running server; fetch and list weights.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack models            what the running server offers\n"
    "  specstack models pull       fetch the weights of the default distribution\n"
    "  specstack models store      which weights can be had, and which are in the cache",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@models.callback()
def listing(context: typer.Context, url: Url = DEFAULT_URL) -> None:
    if context.invoked_subcommand is not None:
        return
    from specstack_wire import given

    with connected(url) as client:
        rows = [["MODEL", "TYPE", "PROVIDER"]]
        for one in client.models.list_models().data:
            known = given(one.custom_metadata)
            rows.append([one.id, known.model_type if known else "", one.owned_by])
    table(rows)


@models.command()
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Names that `models store` lists.")] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Those that the default distribution uses; so without names.")
    ] = False,
) -> None:
    """Fetch weights into the cache and verify them. What is there already is not fetched again.

    Examples:

    \b
      specstack models pull
      specstack models pull qwen2.5-coder-0.5b-instruct
    """
    store, unavailable = _store()
    from specstack_providers.progress import ProgressBar

    wanted = list(names or [])
    if default or not wanted:
        wanted += [name for name in _default_names() if name not in wanted]
    for name in wanted:
        try:
            path = store.pull(name, ProgressBar(name))
        except unavailable as error:
            fail(str(error))
        typer.echo(f"{name}: {path}")


@models.command("store")
def in_store() -> None:
    """List the weights that `models pull` can fetch.

    Example:

        specstack models store
    """
    store, _ = _store()
    rows = [["NAME", "STATE", "SIZE", "LICENCE", "WHAT IT IS"]]
    for name, entry in store.models.items():
        state = "in cache" if store.present(name) else f"pull {entry.download_size / 1e6:.0f} MB"
        rows.append([name, state, f"{entry.size / 1e6:.0f} MB", entry.licence.split(" (")[0], entry.title])
    table(rows)


def _store() -> "tuple[ModelStore, type[Exception]]":
    from specstack_providers.model_store import ModelStore, WeightsUnavailable

    return ModelStore(), WeightsUnavailable


def _default_names() -> list[str]:
    """The store's names in the default distribution's run config."""
    from specstack.distributions import find_distribution
    from specstack.positions import load

    return list(dict.fromkeys(_stored(load(find_distribution(DEFAULT_DISTRO).path.read_text("utf-8")))))


def _stored(node: Any) -> list[str]:
    if isinstance(node, dict):
        known = cast(dict[str, Any], node)
        own = [known["store"]] if isinstance(known.get("store"), str) else []
        return own + [name for value in known.values() for name in _stored(value)]
    if isinstance(node, list):
        return [name for value in cast(list[Any], node) for name in _stored(value)]
    return []
