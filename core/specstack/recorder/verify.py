"""What may be wrong with a recording."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from specstack.recorder.exchange import RecordingDamaged, digest_of, read
from specstack.recorder.library import Library, place_of
from specstack.recorder.scrub import Scrubber


def all_faults(library: Library) -> Iterator[str]:
    """Each fault of every file of a directory: of recordings, and of what lies where none can be found."""
    for path in library.files():
        for fault in faults(path):
            yield f"{path}: {fault}"
    for path in library.strays():
        yield f"{path}: no test looks for a recording here; {_mend(library, path)}"


def _mend(library: Library, path: Path) -> str:
    try:
        found = read(path)
    except RecordingDamaged as error:
        return f"and it is {str(error).removeprefix(f'{path}: ').partition(';')[0]}; remove it"
    return f"move it to {library.folder / place_of(found)}, or remove it"


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
    place = place_of(found)
    if path.absolute().parts[-3:-1] != place.parts:
        yield f"it is of the provider {found.provider} and the test {found.test}; move it to {place}"
    answer, scrubber = found.answer, Scrubber()
    asked = [found.target, found.request]
    if scrubber.clean(asked) != asked or scrubber.answer(answer) != answer:
        yield "there is what looks like a secret in it; remove it, and change that secret"
    if any(later.at < earlier.at for earlier, later in pairwise(answer.pieces or ())):
        yield "its pieces are not in the order of their times; record it again"
