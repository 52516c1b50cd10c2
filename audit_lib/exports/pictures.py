"""PNG with a palette: the charts of a report in a third of the bytes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from operator import sub
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Charts are drawn in a dozen colours; the others are their edges.
_COLOURS = 64
_FLAT, _ALIKE = 16, 8
_OPAQUE = 255
_MOST_COLOURS = 256
# Charts of a report are drawn for paper.
DOTS_PER_INCH = 150


def with_palette(png: bytes) -> bytes:
    """Return a picture as PNG with at most 64 colours; as it was where it has transparent parts, is no PNG, or was smaller."""
    try:
        with _whole_pictures_only():
            picture = Image.open(io.BytesIO(png), formats=["PNG"])
            coloured = picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return png
    if coloured.getchannel("A").getextrema()[0] != _OPAQUE:
        return png
    plain = coloured.convert("RGB")
    rough = plain.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    reduced = plain.quantize(palette=_with_flat_colours(rough, plain), dither=Image.Dither.NONE)
    written = io.BytesIO()
    reduced.save(written, "PNG", optimize=True)
    return min(written.getvalue(), png, key=len)


def _with_flat_colours(rough: Image.Image, plain: Image.Image) -> Image.Image:
    """Return the rough palette, whose colours are means, with those of the largest areas, exactly, in place of their like."""
    counted: Any = plain.getcolors(plain.width * plain.height)
    found = rough.getpalette() or []
    means = [tuple(found[place : place + 3]) for place in range(0, len(found), 3)]
    kept: list[tuple[int, ...]] = []
    for colour in [*(colour for _, colour in sorted(counted, reverse=True)[:_FLAT]), *means]:
        # Pillow looks a colour up by its first bits: of two that are alike it takes either.
        if all(max(map(abs, map(sub, colour, other))) > _ALIKE for other in kept):
            kept.append(colour)
    image = Image.new("P", (1, 1))
    image.putpalette([part for colour in kept for part in colour])
    return image


def with_indices(chunk: bytes, width: int, height: int) -> tuple[bytes, bytes] | None:
    """Return the palette (three bytes a colour) and the pixels (one byte each, row by row) of a picture of at most 256 colours.

    `chunk`: the data of a PNG of eight bits for each of red, green and blue, without its other chunks. None where there are more
    colours, or the data are not those of such a picture.
    """
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    png = _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", chunk) + _chunk(b"IEND", b"")
    try:
        with _whole_pictures_only():
            picture = Image.open(io.BytesIO(png), formats=["PNG"])
            picture.load()
        colours = picture.getcolors(_MOST_COLOURS)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    if colours is None:
        return None
    reduced = picture.quantize(len(colours), method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = bytes(reduced.getpalette() or ())[: 3 * len(colours)]
    return (palette, reduced.tobytes()) if reduced.convert("RGB").tobytes() == picture.tobytes() else None


@contextmanager
def _whole_pictures_only() -> Iterator[None]:
    """Have Pillow refuse a picture that is cut: WeasyPrint tells it, for all who use it, to fill what is missing with black."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png_size(png: bytes) -> tuple[int, int] | None:
    """Return the width and the height in pixels that a PNG states in its first chunk; None where it is no PNG."""
    if not png.startswith(_SIGNATURE) or png[12:16] != b"IHDR":
        return None
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
