"""What may be wrong with a recording."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from specstack.recorder.exchange import RecordingDamaged, digest_of, read
from specstack.recorder.scrub import Scrubber


def faults(path: Path) -> Iterator[str]:
    """Each fault of a file, with what to do."""
    try:
        found = read(path)
    except RecordingDamaged as error:
        yield str(error).removeprefix(f"{path}: ")
        return
    digest = digest_of(found.kind, found.target, found.request)
    if found.digest != digest:
        yield f"its request has the digest {digest}, the file says {found.digest}; record it again"
    if path.stem.partition("-")[0] != found.digest:
        yield f"the file is not called by its digest {found.digest}; record it again"
    answer, clean = found.answer, Scrubber().clean
    parts = [
        found.request,
        answer.head,
        answer.body,
        answer.failure,
        *(one.data for one in answer.pieces or ()),
    ]
    if any(clean(part) != part for part in parts):
        yield "there is what looks like a secret in it; remove it, and change that secret"
    if any(later.at < earlier.at for earlier, later in pairwise(answer.pieces or ())):
        yield "its pieces are not in the order of their times; record it again"
