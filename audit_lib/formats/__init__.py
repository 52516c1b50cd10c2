"""The package-database formats that are read: `FORMATS` is the only list of them."""

from __future__ import annotations

from audit_lib.formats import apk, deb, maven, npm, pypi
from audit_lib.formats.base import Format

FORMATS: tuple[Format, ...] = (deb.FORMAT, apk.FORMAT, pypi.FORMAT, npm.FORMAT, maven.FORMAT)
