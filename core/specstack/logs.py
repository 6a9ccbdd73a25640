"""Logging to standard error: one line a message, quiet libraries."""

import logging
import sys

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up(level: str) -> None:
    """Log from `level` (debug, info, warning or error) upwards; of libraries warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT, "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    chosen = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(chosen, logging.WARNING) if chosen > logging.DEBUG else chosen)
    logging.getLogger("specstack").setLevel(chosen)
