"""A distribution's README, made of its run config and build config."""

from collections.abc import Sequence

from specstack.descriptors import GeneratedServer
from specstack.distro.build_config import Build
from specstack.distro.needs import possible_providers, stored_weights, variables


def readme(build: Build, server: GeneratedServer) -> str:
    """Markdown: what it is, what it needs installed, its providers and the variables that it reads."""
    name, path = build.config.distro_name, build.run_config
    weights = stored_weights(path)
    package = f"specstack[{','.join(build.extras)}]" if build.extras else "specstack"
    lines = [
        f"<!-- Made by `specstack distro readme {name}` of config.yaml and build.yaml. Do not edit. -->",
        f"# {name}",
        "",
        build.config.summary,
        "",
        "```sh",
        f"pip install '{package}'",
        *([f"specstack models pull {' '.join(weights)}"] if weights else []),
        f"stack-serve {name}",
        "```",
        "",
        "An image of it: `specstack distro build " + name + "`.",
        "",
        "## Providers",
        "",
        *_table(
            ("id", "type", "API", "on"),
            [
                (
                    f"`{one.provider_id}`",
                    f"`{one.spec.provider_type}`",
                    one.api,
                    f"when `{one.switch}` is set" if one.switch else "always",
                )
                for one in possible_providers(path, server)
            ],
        ),
        "",
        "## Variables",
        "",
        *_table(
            ("variable", "default", "sets"),
            [(f"`{one.name}`", _default(one.default), _keys(one.places)) for one in variables(path)],
        ),
        "",
    ]
    return "\n".join(lines)


def _default(text: str | None) -> str:
    return "needed by its provider" if text is None else f"`{text}`" if text else "none"


def _keys(places: Sequence[str]) -> str:
    return ", ".join(f"`{one}`" for one in places)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(one)} |" for one in (head, ["---"] * len(head), *rows)]
