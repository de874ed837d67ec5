"""Files in the IDX format of MNIST and Fashion-MNIST: read, and refused in one line where anything is off.

An IDX file is a header of big-endian 32-bit integers, then one byte a value. Images: 2051, count, rows, columns, then
the pixels row by row. Labels: 2049, count, then one byte a label.
"""

from __future__ import annotations

import gzip
import struct
import zlib

import numpy as np

from ..errors import InputError

__all__ = ["SIDE", "parse_images", "parse_labels", "unpack"]

SIDE = 28  # pixels, rows and columns alike
CLASSES = 10
IMAGES, LABELS = 2051, 2049  # the magic numbers: 0x08 for "bytes", then the number of dimensions


def unpack(data: bytes, name: str) -> bytes:
    """The bytes of a file called ``name``, decompressed if the name ends in .gz.

    Raises InputError, one line that begins with ``name``, if the file is empty, is not what its name says, or does not
    decompress to its end with the right checksum.
    """
    if not data:
        raise InputError(f"{name} is empty; copy it again")
    compressed = data[:2] == b"\x1f\x8b"
    if not name.endswith(".gz"):
        if compressed:
            raise InputError(f"{name} is still gzip-compressed; rename it to end in .gz, or unpack it")
        return data
    if not compressed:
        if data[:4] in (struct.pack(">I", IMAGES), struct.pack(">I", LABELS)):
            raise InputError(f"{name} is unpacked already, though its name ends in .gz; rename it to end without")
        raise InputError(f"{name} is not a gzip file: it begins with {_beginning(data)}; download it again")
    try:
        return gzip.decompress(data)
    except EOFError:
        raise InputError(f"{name} is cut short: its gzip data end before their end mark; copy it again") from None
    except (OSError, zlib.error) as error:
        raise InputError(f"{name} is damaged: its gzip data do not unpack ({error}); copy it again") from None


def parse_images(data: bytes, name: str) -> np.ndarray:
    """The images in the unpacked bytes of a file: (N, 784) uint8. InputError if header and length are not as expected."""
    count, rows, columns = _header(data, name, IMAGES, "images", 3)
    if (rows, columns) != (SIDE, SIDE):
        raise InputError(f"{name} holds images of {rows} x {columns} pixels; expected {SIDE} x {SIDE}")
    return _body(data, name, 16, count, SIDE * SIDE, "images").reshape(count, SIDE * SIDE)


def parse_labels(data: bytes, name: str) -> np.ndarray:
    """The labels in the unpacked bytes of a file: (N,) int64. InputError if header, length or a label is not as expected."""
    (count,) = _header(data, name, LABELS, "labels", 1)
    labels = _body(data, name, 8, count, 1, "labels")
    wrong = np.flatnonzero(labels >= CLASSES)
    if wrong.size:
        raise InputError(
            f"{name} is damaged: label {wrong[0] + 1} of {count} is {labels[wrong[0]]}; expected 0 to {CLASSES - 1}"
        )
    return labels.astype(np.int64)


def _header(data: bytes, name: str, magic: int, kind: str, sizes: int) -> tuple[int, ...]:
    """The sizes in the header, after its magic number."""
    length = 4 * (1 + sizes)
    found = int.from_bytes(data[:4], "big")
    if found != magic:
        other = {IMAGES: "images", LABELS: "labels"}.get(found)
        what = (
            f"holds {other}, not {kind}"
            if other
            else f"is not an IDX file of {kind}: it begins with {_beginning(data)}"
        )
        raise InputError(f"{name} {what} (magic number {found}; expected {magic})")
    if len(data) < length:
        raise InputError(f"{name} is cut short: {len(data)} bytes, and the header alone has {length}; copy it again")
    return struct.unpack(f">{sizes}I", data[4:length])


def _body(data: bytes, name: str, offset: int, count: int, each: int, kind: str) -> np.ndarray:
    """The bytes after the header, exactly as many as it announces."""
    if count == 0:
        raise InputError(f"{name} holds no {kind}: its header says 0")
    expected, found = count * each, len(data) - offset
    if found != expected:
        fault = f"bytes missing: {expected - found}" if found < expected else f"bytes too many: {found - expected}"
        raise InputError(
            f"{name} does not fit its header: {fault} ({count} {kind} take {expected} bytes after the header, "
            f"{found} are there); copy it again"
        )
    return np.frombuffer(data, np.uint8, offset=offset)


def _beginning(data: bytes) -> str:
    """What a file begins with, for a message; an error page of a web server shows itself by its text."""
    start = data[:15]
    if start.lstrip().startswith(b"<"):
        return f"{start.decode('ascii', 'replace').strip()!r} (a web page, not data)"
    return f"bytes {start[:4].hex(' ')}"
