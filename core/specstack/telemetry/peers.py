"""The metrics of every worker of a server, whichever of them is asked.

Each tells its own on a socket file that the others know. They are not added up: each worker's stand beside
the others' with a label, so that those of one that has died end, and those of its successor begin at zero, as
Prometheus expects it of a process. What is asked of all is a sum in the query.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from specstack.telemetry.meters import Family, Meters, Sample
from specstack.workers.seat import Seat

LABEL = "worker"
LIMIT = 1.0
"""Seconds that a worker has to answer."""

_Told = dict[str, list[tuple[dict[str, str | int], float, list[int]]]]
"""The samples of each metric by its name: attributes, value and buckets."""

_log = logging.getLogger("specstack.telemetry")


class Peers:
    """One worker among several, which find each other in the seat's folder."""

    def __init__(self, seat: Seat, folder: Path, meters: Meters) -> None:
        self._seat = seat
        self._folder = folder
        self._meters = meters
        self._opening: asyncio.Task[asyncio.Server] | None = None

    def start(self) -> None:
        """Answer the others from now on, in the running loop."""
        path = self._path(self._seat.number)
        # One that died here has left it behind.
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        opening = asyncio.start_unix_server(self._answer, sock=listener)
        self._opening = asyncio.get_running_loop().create_task(opening)

    async def stop(self) -> None:
        """Answer no more."""
        if self._opening is not None:
            (await self._opening).close()
            self._path(self._seat.number).unlink(missing_ok=True)

    async def collect(self) -> list[Family]:
        """The metrics of all workers that answer, this one's at once."""
        own = self._meters.collect()
        others = [number for number in range(1, self._seat.of + 1) if number != self._seat.number]
        told = await asyncio.gather(*map(self._told_by, others))
        return [
            replace(
                family,
                samples=(
                    *_labelled(family.samples, self._seat.number),
                    *(
                        one
                        for number, found in zip(others, told, strict=True)
                        for one in _labelled(_samples(found, family.spec.name), number)
                    ),
                ),
            )
            for family in own
        ]

    async def _told_by(self, number: int) -> _Told:
        try:
            async with asyncio.timeout(LIMIT):
                reader, writer = await asyncio.open_unix_connection(str(self._path(number)))
                try:
                    return json.loads(await reader.read(-1))
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError) as error:
            _log.warning("worker %d does not tell its metrics: %s", number, error or f"within {LIMIT:g} s")
            return {}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told: _Told = {
            family.spec.name: [(dict(one.attributes), one.value, list(one.counts)) for one in family.samples]
            for family in self._meters.collect()
        }
        writer.write(json.dumps(told).encode())
        writer.close()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.sock"


def _samples(told: _Told, name: str) -> Iterable[Sample]:
    return (Sample(attributes, value, tuple(counts)) for attributes, value, counts in told.get(name, ()))


def _labelled(samples: Iterable[Sample], number: int) -> Iterable[Sample]:
    return (replace(one, attributes={LABEL: str(number), **one.attributes}) for one in samples)
