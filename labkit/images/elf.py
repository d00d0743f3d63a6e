"""Which shared libraries an ELF file names: the part of `readelf -d` that an image build needs."""

from __future__ import annotations

import struct

MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian: all that amd64 has
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


def needed(content: bytes) -> list[str]:
    """Names of the shared libraries that a file needs; none for a file that is no ELF or is static."""
    if not content.startswith(MAGIC):
        return []
    table, size, count = *struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for index in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", content, table + index * size)
        if kind == PT_LOAD:
            loads.append((address, offset, length))
        elif kind == PT_DYNAMIC:
            dynamic = (offset, length)
    return _names(content, loads, *dynamic) if dynamic else []


def _names(content: bytes, loads: list[tuple[int, int, int]], offset: int, length: int) -> list[str]:
    entries = []
    for tag, value in struct.iter_unpack("<qQ", content[offset : offset + length]):
        if tag == DT_NULL:
            break
        entries.append((tag, value))
    strings = next((value for tag, value in entries if tag == DT_STRTAB), 0)
    # The table is given by its address in memory; the segment that holds it says where that is in the file.
    place = next((strings - at + start for at, start, size in loads if at <= strings < at + size), 0)
    starts = [place + value for tag, value in entries if tag == DT_NEEDED]
    return [content[start : content.index(b"\0", start)].decode() for start in starts]
