"""Writing what an image is built from: Containerfile, locked requirements, the code and the run config."""

import json
import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from specstack.distro.build_config import Build
from specstack.distro.lock import find_lock, needed, read_lock, requirements_of
from specstack.distro.needs import stored_weights
from specstack.startup import StartupError

CONTAINERFILE = "Containerfile"
REQUIREMENTS = "requirements.txt"
PORT = 8321
PACKAGES = (
    "specstack_wire",
    "specstack_api",
    "specstack",
    "specstack_server",
    "specstack_client",
    "specstack_providers",
    "specstack_distributions",
)
"""The code that a server runs; the generator stays out."""

_FIRST = "# Written by `specstack distro build`"
_SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class Written:
    """A folder that `docker build` or `podman build` takes."""

    folder: Path
    tag: str
    packages: int


def write_image(build: Build, folder: Path) -> Written:
    """Write the folder. What is there must have been written by this function. Raises StartupError."""
    known = folder / CONTAINERFILE
    if folder.exists() and not (known.is_file() and known.read_text("utf-8").startswith(_FIRST)):
        raise StartupError(f"{folder}: is there already and was not written by this command; choose another")
    config = build.config
    locked = needed(read_lock(find_lock()), [*requirements_of(build.extras), *config.packages])
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "app", ignore_errors=True)
    for name in PACKAGES:
        shutil.copytree(Path(str(resources.files(name))), folder / "app" / name, ignore=_SKIPPED)
    shutil.copyfile(build.run_config, folder / "config.yaml")
    lines = [f"# What {config.distro_name} needs: {', '.join(build.extras) or 'no extras'}."]
    lines += [line for one in locked for line in one.lines]
    (folder / REQUIREMENTS).write_text("\n".join([*lines, ""]), "utf-8")
    text = containerfile(config.distro_name, config.base_image, stored_weights(build.run_config))
    (folder / CONTAINERFILE).write_text(text, "utf-8")
    return Written(folder, f"specstack-{config.distro_name}", len(locked))


def containerfile(name: str, base: str, weights: list[str]) -> str:
    """Two stages: packages are installed in one, and only what came of it goes into the other."""
    probe = ["python", "-m", "specstack.probe", "/etc/specstack/config.yaml", str(PORT)]
    pull = f"RUN python -m specstack models pull {' '.join(weights)}\n" if weights else ""
    return f"""\
{_FIRST} for the distribution {name}. Build it in this folder:
#   docker build -f {CONTAINERFILE} -t specstack-{name} .
# A container listens on all its addresses, so the server wants keys, or to be told that it needs none:
#   docker run -e SPECSTACK_API_KEYS=... -p 127.0.0.1:{PORT}:{PORT} specstack-{name}
#   docker run -p 127.0.0.1:{PORT}:{PORT} specstack-{name} --host 0.0.0.0 --port {PORT} --insecure
# What callers register outlives the container with -v specstack-data:/home/specstack/data
FROM {base} AS packages
COPY {REQUIREMENTS} /tmp/{REQUIREMENTS}
RUN python -m venv /venv \\
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /tmp/{REQUIREMENTS}

FROM {base}
RUN useradd --uid 10001 --create-home --home-dir /home/specstack --shell /usr/sbin/nologin specstack
COPY --from=packages /venv /venv
COPY app /app
RUN python -m compileall -q /app
COPY config.yaml /etc/specstack/config.yaml
ENV PATH=/venv/bin:$PATH \\
    PYTHONPATH=/app \\
    PYTHONDONTWRITEBYTECODE=1 \\
    PYTHONUNBUFFERED=1 \\
    SPECSTACK_CACHE=/home/specstack/cache \\
    SPECSTACK_HOME=/home/specstack/data
USER 10001
WORKDIR /home/specstack
RUN mkdir -m 700 data
VOLUME /home/specstack/data
{pull}EXPOSE {PORT}
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \\
    CMD {json.dumps(probe)}
ENTRYPOINT ["python", "-m", "specstack", "serve", "/etc/specstack/config.yaml"]
CMD ["--host", "0.0.0.0", "--port", "{PORT}"]
"""
