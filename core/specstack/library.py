"""The server in the program that uses it: the ordinary client, without a socket."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from specstack.assembly import SERVER, build
from specstack.config import RunConfig, load_config, read_config
from specstack.distributions import find_distribution
from specstack.inprocess import AsyncTransport, Transport
from specstack.serving import loop_factory
from specstack.yaml_text import yaml_lines
from specstack_client import AsyncSpecstack, Specstack

if TYPE_CHECKING:
    from specstack.recorder.recorder import Recorder

BASE_URL = "http://localhost"
GIVEN = "<mapping>"
"""What errors call a run config that was given as a mapping."""

C = TypeVar("C")
Source = str | Path | Mapping[str, Any]


@overload
def from_config(
    config: Source = ...,
    *,
    asynchronous: Literal[False] = False,
    env: Mapping[str, str] | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    recorder: "Recorder | None" = None,
) -> Specstack: ...


@overload
def from_config(
    config: Source = ...,
    *,
    asynchronous: Literal[True],
    env: Mapping[str, str] | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    recorder: "Recorder | None" = None,
) -> AsyncSpecstack: ...


@overload
def from_config(
    config: Source = ...,
    *,
    client: Callable[..., C],
    asynchronous: bool = False,
    env: Mapping[str, str] | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    recorder: "Recorder | None" = None,
) -> C: ...


def from_config(
    config: Source = "starter",
    *,
    client: Callable[..., Any] | None = None,
    asynchronous: bool = False,
    env: Mapping[str, str] | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    recorder: "Recorder | None" = None,
) -> Any:
    """A client of a server that runs in this process, by the same code as behind a socket.

    `config` is a distribution's name, the path of a run config or of a directory with `config.yaml`, or a
    run config as a mapping. `env` replaces the process's environment in it; `api_key` and `headers` go along
    with every call. Providers start with the first call and stop when the client is closed; use it with
    `with` (`async with`). An asynchronous client belongs to the event loop of its first call; a synchronous
    one keeps a loop in a thread of its own and may be used from any thread but that. `client` is the class to
    give instead of `Specstack` (or `AsyncSpecstack`): the generated client of an external API.

    A `recorder` keeps what providers ask of models and other servers, or answers in their place.

    Raises ConfigError when the config is wrong. The first call raises StartupError when a provider cannot
    start.
    """
    app = build(_read(config, env), recorder=recorder)
    if asynchronous:
        made = client or AsyncSpecstack
        return made(BASE_URL, api_key, headers=headers, transport=AsyncTransport(app))
    made = client or Specstack
    return made(BASE_URL, api_key, headers=headers, transport=Transport(app, loop_factory()))


def _read(config: Source, env: Mapping[str, str] | None) -> RunConfig:
    if isinstance(config, Mapping):
        text = "\n".join(yaml_lines(_plain(config)))
        return read_config(text, GIVEN, SERVER, os.environ if env is None else env)
    return load_config(find_distribution(str(config)).path, SERVER, env)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in cast(list[Any], value)]
    return value
