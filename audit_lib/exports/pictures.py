"""PNG with a palette: the charts of a report in a third of the bytes."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Charts are drawn in a dozen colours; the others are their edges.
_COLOURS = 64
_OPAQUE = 255
# Charts of a report are drawn for paper.
DOTS_PER_INCH = 150


def with_palette(png: bytes) -> bytes:
    """Return a picture as PNG with at most 64 colours; as it was where it has transparent parts, is no PNG, or was smaller."""
    try:
        picture = Image.open(io.BytesIO(png), formats=["PNG"])
        coloured = picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return png
    if coloured.getchannel("A").getextrema()[0] != _OPAQUE:
        return png
    reduced = coloured.convert("RGB").quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    written = io.BytesIO()
    reduced.save(written, "PNG", optimize=True)
    return min(written.getvalue(), png, key=len)


def png_size(png: bytes) -> tuple[int, int] | None:
    """Return the width and the height in pixels that a PNG states in its first chunk; None where it is no PNG."""
    if not png.startswith(_SIGNATURE) or png[12:16] != b"IHDR":
        return None
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
