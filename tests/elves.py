"""Small ELF files out of a dict of sections, written with struct alone: independent of the code under test."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

BASE = 0x400000
FIRST = 0x100  # where the first section begins in the file, and behind BASE in memory
_ALIGNMENT = 16


class Part(NamedTuple):
    """A section's contents with flags of its own; `nobits` takes no room in the file, as .bss."""

    data: bytes
    flags: int = 3  # WRITE, ALLOC
    nobits: bool = False


def elf_file(
    sections: Mapping[str, bytes | Part],
    *,
    bits: Literal[32, 64] = 64,
    order: Literal["<", ">"] = "<",
    stripped: bool = False,
    executable: bool = False,
) -> bytes:
    """Return an executable with these sections in this order, all within one segment that is read and written.

    `stripped` leaves the section table out, `executable` makes the segment one of code.
    """
    whole, table, names = bytearray(FIRST), [(0,) * 10], b"\0"
    for name, content in {**sections, ".shstrtab": Part(b"", 0)}.items():
        part = content if isinstance(content, Part) else Part(content)
        whole.extend(bytes(-len(whole) % _ALIGNMENT))
        start, kind = len(whole), 8 if part.nobits else 1
        if name == ".shstrtab":
            part = part._replace(data=names + name.encode() + b"\0")
        table.append((len(names), kind, part.flags, BASE + start, start, len(part.data), 0, 0, 1, 0))
        names += name.encode() + b"\0"
        if not part.nobits:
            whole.extend(part.data)
    whole.extend(bytes(-len(whole) % _ALIGNMENT))
    wide = bits == 64
    at, flags = len(whole), 5 if executable else 6
    segment = (1, flags, 0, BASE, BASE, at, at, 1) if wide else (1, 0, BASE, BASE, at, at, flags, 1)
    head, program, row = (64, 56, 64) if wide else (52, 32, 40)
    where, count = (0, 0) if stripped else (at, len(table))
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    whole[:head] = ident + struct.pack(
        order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"),
        *(
            2,
            62 if wide else 3,
            1,
            BASE,
            head,
            where,
            0,
            head,
            program,
            1,
            row if count else 0,
            count,
            max(count - 1, 0),
        ),
    )
    whole[head : head + program] = struct.pack(order + ("IIQQQQQQ" if wide else "8I"), *segment)
    if not stripped:
        for fields in table:
            whole.extend(struct.pack(order + ("IIQQQQIIQQ" if wide else "10I"), *fields))
    return bytes(whole)
