"""Finding run configs: shipped distributions by name, others by path."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from specstack.config_schema import close_to
from specstack.startup import StartupError

CONFIG = "config.yaml"
NOTICE = "notice.txt"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A run config and where it is; `notice` is what its users should read at start-up."""

    name: str
    path: Path
    notice: str = ""


def shipped() -> list[Distribution]:
    """The distributions that come with specstack, by name."""
    folder = Path(str(resources.files("specstack_distributions")))
    return sorted((_of(path) for path in folder.glob(f"*/{CONFIG}")), key=lambda one: one.name)


def find_distribution(name_or_path: str) -> Distribution:
    """The run config that a file, a directory with `config.yaml`, or a distribution's name means.

    Raises StartupError that names close matches.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return Distribution(path.stem, path)
    if (path / CONFIG).is_file():
        return _of(path / CONFIG)
    known = {one.name: one for one in shipped()}
    if name_or_path in known:
        return known[name_or_path]
    if path.is_dir():
        raise StartupError(f"{path}: has no {CONFIG}")
    if path.suffix or path.name != name_or_path:
        raise StartupError(f"{path}: there is no such file")
    raise StartupError(f"no distribution '{name_or_path}' and no such file; {close_to(name_or_path, known)}")


def _of(config: Path) -> Distribution:
    notice = config.with_name(NOTICE)
    text = notice.read_text("utf-8").strip() if notice.is_file() else ""
    return Distribution(config.parent.name, config, text)
