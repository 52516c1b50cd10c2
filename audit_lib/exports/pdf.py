"""report.pdf: the report as PDF/A-3, with the files that programs read attached inside."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import urllib.parse
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from nbformat import NotebookNode

from audit_lib.errors import AuditError
from audit_lib.exports.content import Content
from audit_lib.exports.html import Page, render, template_text
from audit_lib.exports.pictures import with_indices
from audit_lib.exports.widths import with_widths

# Level U: text can be taken out as Unicode. Level A, which promises more of the tags than any program can check, is not claimed.
_VARIANT = "pdf/a-3u"
# The fonts that matplotlib brings, so that the same report has the same bytes on every machine.
_FONTS = {
    ("Report Sans", "normal", "normal"): "DejaVuSans.ttf",
    ("Report Sans", "bold", "normal"): "DejaVuSans-Bold.ttf",
    ("Report Sans", "normal", "italic"): "DejaVuSans-Oblique.ttf",
    ("Report Mono", "normal", "normal"): "DejaVuSansMono.ttf",
}
# What a file is, by the end of its name, and what it is to the document (ISO 32000-2, 7.11.3): its tables are made of data, and
# it is made from a notebook; what else programs read says the same in other words.
_KINDS = (
    (".cdx.json", "application/vnd.cyclonedx+json", "Supplement"),
    (".spdx.json", "application/spdx+json", "Supplement"),
    (".sarif", "application/sarif+json", "Supplement"),
    (".csv", "text/csv", "Data"),
    (".ipynb", "application/x-ipynb+json", "Source"),
    (".json", "application/json", "Supplement"),
    (".md", "text/markdown", "Supplement"),
    (".parquet", "application/vnd.apache.parquet", "Data"),
    (".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Data"),
    (".xml", "application/xml", "Supplement"),
)
_FONT, _ATTACHED = "font", "attached"
_OTHER = ("", "application/octet-stream", "Unspecified")
_PANGO = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


def pdf_of(notebook: NotebookNode, page: Page, *, folder: Path, attachments: Mapping[str, Path]) -> bytes:
    """Return an executed notebook as PDF/A-3u: tagged, with bookmarks, numbered pages and the heads of tables repeated.

    `folder`: where pictures named in the notebook's text are looked for. `attachments`: files that are embedded whole, by the
    names that they have inside; tables are marked as the data of the document, a notebook as its source, others as supplements.
    Nothing is loaded from any address. The same content is the same bytes: dates are the page's, else 1970's, and the fonts are
    those of matplotlib; letters that these lack come from the machine.

    Raises `AuditError` where Pango, which sets the text, is not installed.
    """
    weasyprint = _weasyprint()
    files = {name: attachments[name].read_bytes() for name in sorted(attachments)}
    listed = [(name, f"{len(content):,}", hashlib.sha256(content).hexdigest()) for name, content in files.items()]
    text = render("paper.html.j2", Content(notebook, folder), page, lay_out=_lay_out, attachments=listed)
    fonts = weasyprint.text.fonts.FontConfiguration()
    fetcher = _fetcher(weasyprint, files)
    style = weasyprint.CSS(string=_font_faces() + template_text("paper.css"), font_config=fonts, url_fetcher=fetcher)
    with warnings.catch_warnings():
        # WeasyPrint 70 leaves the file of its colour profile open.
        warnings.simplefilter("ignore", ResourceWarning)
        written: bytes = weasyprint.HTML(string=text, url_fetcher=fetcher).write_pdf(
            stylesheets=[style],
            font_config=fonts,
            pdf_variant=_VARIANT,
            pdf_tags=True,
            attachments=[_attached(weasyprint, fetcher, name, _moment(page)) for name in files],
            finisher=_finish,
        )
    return written


def check_pango() -> None:
    """Raise `AuditError`, which says what to install, where the libraries that set the text of a PDF are not there."""
    _weasyprint()


def _weasyprint() -> Any:
    """Import WeasyPrint, which loads Pango; what it prints where that fails says less than one clear line."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import weasyprint  # noqa: PLC0415 - loads libraries of the system that no other format needs
    except OSError as error:
        reason = str(error).partition(":")[0]
        raise AuditError(f"PDF: a library that sets text is missing ({reason}): apt-get install {_PANGO}") from error
    return weasyprint


def _fetcher(weasyprint: Any, files: Mapping[str, bytes]) -> Any:
    """Return what gives WeasyPrint our fonts and the attachments, and nothing else: a notebook may name any address."""
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"

    class Fetcher(weasyprint.urls.URLFetcher):  # type: ignore[misc] # known at run time only
        def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
            scheme, _, rest = url.partition(":")
            if scheme == "data":
                return super().fetch(url, headers)
            name = urllib.parse.unquote(rest)
            if scheme == _ATTACHED and name in files:
                return weasyprint.urls.URLFetcherResponse(url, files[name], {"Content-Type": _kind(name)[1]})
            if scheme == _FONT and name in _FONTS.values():
                return weasyprint.urls.URLFetcherResponse(url, (fonts / name).read_bytes())
            raise ValueError(f"{url}: a report loads nothing")

    return Fetcher()


def _attached(weasyprint: Any, fetcher: Any, name: str, moment: dt.datetime) -> Any:
    return weasyprint.Attachment(
        url=f"{_ATTACHED}:{urllib.parse.quote(name)}",
        url_fetcher=fetcher,
        name=name,
        description=name,
        created=moment,
        modified=moment,
        relationship=_kind(name)[2],
    )


def _kind(name: str) -> tuple[str, str, str]:
    return next((kind for kind in _KINDS if name.endswith(kind[0])), _OTHER)


def _finish(_: Any, pdf: Any) -> None:
    """Open the document with its bookmarks, name each attached file once, and store charts with a palette."""
    pdf.catalog["PageMode"] = "/UseOutlines"
    if "AF" in pdf.catalog:
        pdf.catalog["AF"][:] = dict.fromkeys(pdf.catalog["AF"])
    for one in pdf.objects:
        extra = getattr(one, "extra", {})
        if extra.get("Subtype") == "/Image" and extra.get("ColorSpace") == "/DeviceRGB" and "DecodeParms" in extra:
            _store_small(one)


def _store_small(picture: Any) -> None:
    """Give a picture its palette back: WeasyPrint stores three bytes for each pixel, which doubles the size of a report."""
    found = with_indices(picture.stream[0].data, picture.extra["Width"], picture.extra["Height"])
    if found is None:
        return
    palette, pixels = found
    last = len(palette) // 3 - 1
    picture.extra["ColorSpace"] = f"[/Indexed /DeviceRGB {last} <{palette.hex()}>]"
    del picture.extra["DecodeParms"]
    picture.stream = [zlib.compress(pixels, 9)]


def _lay_out(part: Markup, kind: str) -> Markup:
    return Markup(with_widths(part, kind)) if "table" in kind.split() else part  # noqa: S704 - only columns are added


def _font_faces() -> str:
    return "".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: {style}; src: url("{_FONT}:{file}"); }}\n'
        for (family, weight, style), file in _FONTS.items()
    )


def _moment(page: Page) -> dt.datetime:
    stated = page.made.get("started_utc")
    return dt.datetime.fromisoformat(stated) if stated else dt.datetime.fromtimestamp(0, dt.UTC)
