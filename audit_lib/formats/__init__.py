"""The package-database formats that are read: `FORMATS` is the only list of them."""

from __future__ import annotations

from audit_lib.formats import (
    alpm,
    apk,
    cargo,
    composer,
    conda,
    cran,
    deb,
    gem,
    generic,
    golang,
    maven,
    npm,
    nuget,
    opkg,
    pypi,
    rpm,
    wordpress,
)
from audit_lib.formats.base import Format

FORMATS: tuple[Format, ...] = (
    deb.FORMAT,
    rpm.FORMAT,
    apk.FORMAT,
    alpm.FORMAT,
    opkg.FORMAT,
    pypi.FORMAT,
    npm.FORMAT,
    maven.FORMAT,
    gem.FORMAT,
    composer.FORMAT,
    conda.FORMAT,
    nuget.FORMAT,
    cran.FORMAT,
    wordpress.FORMAT,
    golang.FORMAT,
    cargo.FORMAT,
    generic.FORMAT,
)
