"""Multipart forms, parsed as they arrive: files go to disk, fields to memory, nothing is held twice."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from specstack.http.body import BodySource, refuse_too_large
from specstack.http.errors import ErrorTable
from specstack.http.forms import FormBuilder
from specstack_wire import Upload

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 1000
MAX_FIELD_BYTES = 4 << 20
_FLUSH_BYTES = 1 << 20


class Uploads:
    """The temporary files of one request; `remove` deletes them, whatever became of the request."""

    __slots__ = ("_paths",)

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def create(self) -> tuple[Path, BinaryIO]:
        """A new empty file, open for writing."""
        handle, name = tempfile.mkstemp(prefix="specstack-upload-")
        path = Path(name)
        self._paths.append(path)
        return path, os.fdopen(handle, "wb")

    def remove(self) -> None:
        """Deletes the files that are still there."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink()
        self._paths.clear()


class _Part:
    """One part: a text field kept in memory, a file on disk, or (no name the form knows) dropped."""

    __slots__ = ("buffer", "file", "filename", "headers", "media_type", "name", "path", "size")

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.buffer = bytearray()
        self.name = ""
        self.filename: str | None = None
        self.media_type: str | None = None
        self.path: Path | None = None
        self.file: BinaryIO | None = None
        self.size = 0


class _Machine:
    """What the parser calls back. Work that touches the disk is queued for `_flush` to await."""

    __slots__ = (
        "_field_bytes",
        "_form",
        "_header",
        "_part",
        "_uploads",
        "count",
        "ended",
        "errors",
        "files",
        "ready",
    )

    def __init__(self, form: FormBuilder, uploads: Uploads, errors: ErrorTable) -> None:
        self.errors = errors
        self.ended = False
        self.count = 0
        self.files: list[_Part] = []
        self.ready: list[_Part] = []
        self._form = form
        self._uploads = uploads
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._field_bytes = 0

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self.count += 1
        if self.count > MAX_PARTS:
            raise self.errors.error("invalid", f"The form has more than {MAX_PARTS} parts.")
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        self._part.headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        part = self._part
        _, options = parse_options_header(part.headers.get(b"content-disposition"))
        if b"name" not in options:
            raise malformed(self.errors, "a part has no name in its content-disposition")
        part.name = self._text(options[b"name"])
        media_type = part.headers.get(b"content-type")
        part.media_type = None if media_type is None else media_type.decode("latin-1").strip()
        if b"filename" in options:
            part.filename = _plain_name(self._text(options[b"filename"]))
        if self._form.is_file(part.name):
            part.path, part.file = self._uploads.create()
            self.files.append(part)

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.size += end - start
        if part.file is None:
            if part.filename is not None and not self._form.is_text(part.name):
                return
            self._field_bytes += end - start
            if self._field_bytes > MAX_FIELD_BYTES:
                raise refuse_too_large(self.errors, MAX_FIELD_BYTES)
        part.buffer.extend(data[start:end])

    def _part_end(self) -> None:
        part = self._part
        if part.file is not None:
            self.ready.append(part)
        elif part.filename is None or self._form.is_text(part.name):
            self._form.add(part.name, self._text(bytes(part.buffer)))

    def _end(self) -> None:
        self.ended = True

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise malformed(self.errors, "a field is no valid UTF-8") from None


def malformed(errors: ErrorTable, reason: str) -> Exception:
    """The error for a body that is no multipart form."""
    return errors.error("malformed", f"The request body is no valid multipart form: {reason}.")


def _plain_name(name: str) -> str:
    """A file name without folders and control characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())


async def read_multipart(
    content_type: bytes, source: BodySource, form: FormBuilder, uploads: Uploads, errors: ErrorTable
) -> Any:
    """The model of a `multipart/form-data` body. Its files live until `uploads.remove`."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise malformed(errors, "the content-type header has no boundary")
    machine = _Machine(form, uploads, errors)
    try:
        parser = MultipartParser(boundary, machine.callbacks())
        more = True
        while more:
            piece, more = await source.next()
            parser.write(piece)
            await _flush(machine, form)
    except FormParserError as exc:
        raise malformed(errors, str(exc).rstrip(".")) from None
    finally:
        for part in machine.files:
            _close(part)
    if not machine.ended:
        raise malformed(errors, "it stops before the closing boundary")
    return form.build()


async def _flush(machine: _Machine, form: FormBuilder) -> None:
    """Writes what has gathered for files, in pieces large enough to be worth a thread."""
    for part in machine.files:
        if part.file is not None and (len(part.buffer) >= _FLUSH_BYTES or part in machine.ready):
            await _write(part.file.write, part.buffer)
            part.buffer = bytearray()
    for part in machine.ready:
        _close(part)
        if part.path is not None:
            form.add_file(part.name, Upload(part.filename, part.media_type, part.size, part.path))
    machine.files = [part for part in machine.files if part.file is not None]
    machine.ready.clear()


async def _write(write: Callable[[bytearray], int], data: bytearray) -> None:
    if data:
        await asyncio.to_thread(write, data)


def _close(part: _Part) -> None:
    if part.file is not None:
        part.file.close()
        part.file = None
