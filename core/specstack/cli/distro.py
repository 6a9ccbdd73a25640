"""`specstack distro`: the distributions that come with specstack, and images of them or of your own."""

import shutil
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specstack.cli.output import fail, table

if TYPE_CHECKING:
    from specstack.distro.build_config import Build

distro = typer.Typer(
    help="List, show, check and build distributions.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack distro                          what there is\n"
    "  specstack distro show starter             its run config, to copy and change\n"
    "  specstack distro deps starter             what it needs installed\n"
    "  specstack distro build openai-gateway     what an image is built from",
    rich_markup_mode=None,
    invoke_without_command=True,
)

Distro = Annotated[
    str, typer.Argument(help="A distribution's name, a run config, or a directory with config.yaml.")
]


class Engine(StrEnum):
    """What `--engine` takes."""

    docker = "docker"
    podman = "podman"


@distro.callback()
def listing(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_distros()


@distro.command("list")
def list_distros() -> None:
    """List the shipped distributions.

    Example:

        specstack distro list
    """
    from specstack.distributions import shipped

    rows = [[one.name, _load(one.name).config.summary, str(one.path)] for one in shipped()]
    table([["NAME", "WHAT IT IS", "RUN CONFIG"], *rows])


@distro.command()
def show(name: Distro = "starter") -> None:
    """Print a distribution's run config as it is written.

    Example:

        specstack distro show starter > my-config.yaml
    """
    from specstack.distributions import find_distribution
    from specstack.startup import StartupError

    try:
        typer.echo(find_distribution(name).path.read_text("utf-8"), nl=False)
    except StartupError as error:
        fail(*error.lines)


@distro.command()
def validate(name: Distro = "starter") -> None:
    """Check a distribution: its run config, its build config, and whether the two fit.

    Examples:

    \b
      specstack distro validate openai-gateway
      specstack distro validate ./my-distribution
    """
    from specstack.cli.loading import load_distribution
    from specstack.startup import StartupError

    lines: list[str] = []
    for check in (load_distribution, _load_raising):
        try:
            check(name)
        except StartupError as error:
            lines += [line for line in error.lines if line not in lines]
    if lines:
        fail(*lines)
    typer.echo(f"{name}: run config and build config are right")


@distro.command()
def deps(name: Distro = "starter") -> None:
    """Print what the providers of a distribution need, as a requirements file.

    Every provider counts that the run config can switch on, whatever the environment says now.

    Example:

        specstack distro deps starter > requirements.in
    """
    from specstack.distro.lock import extras_of, requirements_of
    from specstack.startup import StartupError
    from specstack_server import SERVER

    build = _load(name)
    try:
        for api, types in build.config.providers.items():
            for one in types:
                own = requirements_of(extras_of({api: [one]}, SERVER))[len(requirements_of()) :]
                typer.echo(f"# {one} ({api}): {', '.join(own) or 'nothing more'}")
    except StartupError as error:
        fail(*error.lines)
    typer.echo(f"specstack[{','.join(build.extras)}]" if build.extras else "specstack")
    for one in build.config.packages:
        typer.echo(one)


@distro.command()
def readme(name: Distro = "starter") -> None:
    """Print a distribution's README, made of its configs.

    Example:

        specstack distro readme ./my-distribution > my-distribution/README.md
    """
    from specstack.distro.readme import readme as text_of
    from specstack_server import SERVER

    typer.echo(text_of(_load(name), SERVER), nl=False)


@distro.command()
def build(
    name: Distro = "starter",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder to write; build/NAME if not given.")
    ] = None,
    engine: Annotated[Engine | None, typer.Option(help="Build the image with it as well.")] = None,
) -> None:
    """Write what an image is built from: a Containerfile, locked requirements, the code and the run config.

    The server in the image runs as a user without rights, with only the packages that its providers need.

    Examples:

    \b
      specstack distro build openai-gateway
      specstack distro build starter --engine podman
      specstack distro build my-config.yaml --output image
    """
    from specstack.distro.image import CONTAINERFILE, write_image
    from specstack.startup import StartupError

    found = _load(name)
    program = None if engine is None else shutil.which(engine)
    if engine is not None and program is None:
        fail(f"there is no {engine} on this machine; install it, or leave out --engine and build elsewhere")
    try:
        written = write_image(found, output or Path("build") / found.config.distro_name)
    except StartupError as error:
        fail(*error.lines)
    except OSError as error:
        fail(f"{error.filename}: cannot be written: {error.strerror}")
    typer.echo(f"wrote {written.folder} with {written.packages} locked packages")
    if program is None:
        typer.echo(
            f"next: docker build -f {written.folder / CONTAINERFILE} -t {written.tag} {written.folder}"
        )
        return
    command = [
        program,
        "build",
        "-f",
        str(written.folder / CONTAINERFILE),
        "-t",
        written.tag,
        str(written.folder),
    ]
    status = subprocess.run(command, check=False).returncode  # noqa: S603
    if status:
        fail(f"{engine} build ended with status {status}")
    typer.echo(f"built {written.tag}")


def _load(name: str) -> "Build":
    from specstack.startup import StartupError

    try:
        return _load_raising(name)
    except StartupError as error:
        fail(*error.lines)


def _load_raising(name: str) -> "Build":
    from specstack.distributions import find_distribution
    from specstack.distro.build_config import load_build
    from specstack_server import SERVER

    return load_build(find_distribution(name), SERVER)
