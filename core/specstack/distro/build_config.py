"""The build config, `build.yaml`: which providers and packages an image holds.

The run config is another document, with a version of its own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from specstack.config import load_reference, read_text
from specstack.config_schema import check, close_to
from specstack.config_values import Fault, place
from specstack.descriptors import GeneratedServer
from specstack.distributions import CONFIG, Distribution
from specstack.distro.lock import extras_of
from specstack.distro.needs import external_folders, provider_types, storage_extras, telemetry_extras
from specstack.positions import Map, YamlError, load
from specstack.startup import ConfigError
from specstack_wire import ClosedModel

BUILD = "build.yaml"


class BuildConfig(ClosedModel):
    """What goes into an image. Its version has nothing to do with that of the run config."""

    version: Literal[1]
    distro_name: Annotated[str, Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """The image's name begins with `specstack-` and ends with it."""
    summary: Annotated[str, Field(min_length=1)]
    """One line that says what it is for."""
    providers: dict[str, list[str]]
    """For each API, the provider types whose packages are installed. The run config may use no others."""
    extras: list[str] = Field(default_factory=list[str])
    """Extras of specstack besides those of the providers."""
    packages: list[str] = Field(default_factory=list[str])
    """More packages of the lock file, by name."""
    base_image: Annotated[str, Field(min_length=1)] = "python:3.12-slim"
    """An image with Python 3.11 or newer that has `useradd`."""


@dataclass(frozen=True, slots=True)
class Build:
    """A build config and the run config that goes with it. `extras` are all that its image has."""

    config: BuildConfig
    run_config: Path
    extras: tuple[str, ...]

    @classmethod
    def of(cls, config: BuildConfig, run_config: Path, server: GeneratedServer) -> "Build":
        """With the extras of the providers, storage backends and telemetry, and the build config's own."""
        found = {
            *extras_of(config.providers, server),
            *storage_extras(run_config),
            *telemetry_extras(run_config),
            *config.extras,
        }
        return cls(config, run_config, tuple(sorted(found)))


def load_build(found: Distribution, server: GeneratedServer) -> Build:
    """The build config beside a run config; without one it is made of what the run config can switch on.

    Raises ConfigError with every fault of the build config, also where the two do not fit.
    """
    outside = [fault.render(str(found.path)) for fault in external_folders(found.path)]
    if outside:
        raise ConfigError(outside)
    written = found.path.with_name(BUILD)
    if found.path.name == CONFIG and written.is_file():
        return Build.of(read_build(read_text(written), str(written), found.path, server), found.path, server)
    types = provider_types(found.path, server)
    name = "".join(char if char.isalnum() else "-" for char in found.name.lower()).strip("-") or "own"
    summary = f"The run config {found.path.name}."
    config = BuildConfig(version=1, distro_name=name, summary=summary, providers=types)
    return Build.of(config, found.path, server)


def read_build(text: str, file: str, run_config: Path, server: GeneratedServer) -> BuildConfig:
    """`load_build` for a text; `file` is its name in errors."""
    try:
        root = load(text)
    except YamlError as error:
        raise ConfigError([f"{file}:{error.line}: {error}; mend the YAML there"]) from None
    if not isinstance(root, Map):
        raise ConfigError([f"{file}:1: must be a mapping with version, distro_name, summary and providers"])
    config, faults = check(BuildConfig, root, (), set())
    if config is not None:
        faults = _unfitting(root, config, run_config, server)
    if config is None or faults:
        raise ConfigError(
            one.render(file) for one in sorted(faults, key=lambda one: (one.line, str(one.path)))
        )
    return config


def _unfitting(root: Map, config: BuildConfig, run_config: Path, server: GeneratedServer) -> list[Fault]:
    registry = load_reference(server.providers)
    found: list[Fault] = []
    for api, types in config.providers.items():
        known = [name for of_api, name in registry if of_api == api]
        for index, name in enumerate(types):
            if name not in known:
                message = f"no provider type '{name}' for the API {api}; {close_to(name, known)}"
                found.append(place(root, ("providers", api, index), message))
    for api, types in provider_types(run_config, server).items():
        for name in types:
            if name not in config.providers.get(api, []):
                message = f"{run_config.name} can switch on {name}; add it to providers.{api}"
                found.append(place(root, ("providers", api), message))
    return found
