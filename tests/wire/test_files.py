"""Uploads and binary replies."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from specstack_wire import ApiModel, Binary, Upload
from specstack_wire.codec import codec_of


async def test_a_binary_yields_bytes_files_and_iterators_alike(tmp_path: Path) -> None:
    big = b"x" * 200_000
    (tmp_path / "f").write_bytes(big)

    async def pieces() -> AsyncIterator[bytes]:
        yield big[:10]
        yield big[10:]

    for source in (big, tmp_path / "f", pieces()):
        assert b"".join([chunk async for chunk in Binary(source).chunks()]) == big


async def test_an_upload_is_read_from_disk_and_only_an_upload_fits_a_file_field(tmp_path: Path) -> None:
    class Form(ApiModel):
        file: Upload

    (tmp_path / "f").write_bytes(b"abc")
    upload = Upload("a.txt", "text/plain", 3, tmp_path / "f")
    assert await Form(file=upload).file.read() == b"abc"
    with upload.open() as file:
        assert file.read() == b"abc"
    with pytest.raises(ValidationError):
        codec_of(Form).decode(b'{"file":"abc"}')
