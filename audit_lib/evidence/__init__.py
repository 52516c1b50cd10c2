"""What is taken out of single files, beside packages, while a layer passes by: `EXTRACTORS` is the only list of it."""

from __future__ import annotations

from audit_lib.evidence import accounts, applets, binaries, loader, scripts, secrets
from audit_lib.formats.base import Extractor

EXTRACTORS: tuple[Extractor, ...] = (
    accounts.EXTRACTOR,
    applets.EXTRACTOR,
    binaries.EXTRACTOR,
    loader.EXTRACTOR,
    scripts.EXTRACTOR,
    secrets.EXTRACTOR,
)
