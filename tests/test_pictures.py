"""Charts with a palette: as they look, in fewer bytes."""

import base64
import io

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image, ImageDraw, ImageFile

from audit_lib.exports.notebook import SmallPictures, tidy_notebook
from audit_lib.exports.pictures import png_size, with_indices, with_palette


def png(size=(300, 150), alpha=255):
    picture = Image.new("RGBA", size, (255, 255, 255, alpha))
    draw = ImageDraw.Draw(picture)
    for step in range(12):
        draw.ellipse((step * 20, 10, step * 20 + 90, 130), fill=(step * 20, 90, 200 - step * 10, 255))
    for shade in range(40):
        draw.line((shade, 140, shade, 149), fill=(255 - shade,) * 3)
    written = io.BytesIO()
    picture.save(written, "PNG", compress_level=1)
    return written.getvalue()


def chunk_of(picture):
    written = io.BytesIO()
    picture.save(written, "PNG")
    content, chunk = written.getvalue(), b""
    place = 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"IDAT":
            chunk += content[place + 8 : place + 8 + length]
        place += length + 12
    return chunk


def test_a_chart_keeps_its_size_and_looks_within_a_few_shades():
    before, after = png(), with_palette(png())
    assert len(after) < len(before)
    assert png_size(after) == png_size(before) == (300, 150)
    pixels = [Image.open(io.BytesIO(content)).convert("RGB").tobytes() for content in (before, after)]
    white = b"\xff\xff\xff"
    kept = [
        pixels[1][place : place + 3] for place in range(0, len(pixels[0]), 3) if pixels[0][place : place + 3] == white
    ]
    assert set(kept) == {white}
    assert max(abs(one - other) for one, other in zip(*pixels, strict=True)) <= 16


def test_a_picture_of_few_colours_is_told_by_its_palette_without_any_loss():
    picture = Image.open(io.BytesIO(with_palette(png()))).convert("RGB")
    palette, pixels = with_indices(chunk_of(picture), 300, 150)
    told = b"".join(palette[3 * index : 3 * index + 3] for index in pixels)
    assert told == picture.tobytes()


def test_a_picture_of_many_colours_or_of_other_bytes_has_no_palette(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint leaves it
    many = Image.linear_gradient("L").convert("RGB")
    many.putdata([(place % 256, place // 256, 0) for place in range(256 * 256)])
    assert with_indices(chunk_of(many), 256, 256) is None
    assert with_indices(b"", 300, 150) is None
    assert with_indices(b"x" * 99, 300, 150) is None


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", png()[:200], png(alpha=0)])
def test_what_is_no_chart_or_has_transparent_parts_stays_as_it_is(content, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint leaves it
    assert with_palette(content) == content


def test_a_reports_notebook_shows_charts_as_large_as_on_a_screen():
    output = new_output("display_data", data={"image/png": base64.b64encode(png()).decode()})
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[output])])
    (cell,) = tidy_notebook(notebook, {}).cells
    assert cell.outputs[0].metadata == {"image/png": {"width": 200, "height": 100}}
    assert len(cell.outputs[0].data["image/png"]) < len(output.data["image/png"])


def test_a_picture_that_is_none_is_left_as_it_was():
    output = new_output("display_data", data={"image/png": "!"})
    cell, _ = SmallPictures().preprocess_cell(new_code_cell("x", outputs=[output]), {}, 0)
    assert cell.outputs == [output]
