"""Package URLs of what was found (the purl specification and its type definitions)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from packageurl import normalize

from audit_lib.distribution import Distribution
from audit_lib.formats.base import Format, Found

# The vendor of rpm packages where it is not the distribution's ID; as Red Hat's and SUSE's own advisories have it.
_RPM_VENDORS = {"rhel": "redhat", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse"}


def purl_of(form: Format, found: Found, distribution: Distribution) -> str:
    """Return the purl of a package, with the qualifiers that advisories are matched by: arch, distro, epoch, upstream.

    A distribution's own package has the distribution as its namespace; `upstream` names the source package where it
    differs, with its version where that differs too. An epoch that is a qualifier is no part of the version.
    """
    namespace, name = found.namespace, found.name
    qualifiers = dict(found.qualifiers)
    if form.is_distribution:
        namespace = namespace or distribution.id
        if form.name == "rpm":
            namespace = _RPM_VENDORS.get(namespace or "", namespace)
        if found.architecture:
            qualifiers.setdefault("arch", found.architecture)
        if distribution.id:
            qualifiers["distro"] = "-".join(part for part in (distribution.id, distribution.version) if part)
        if found.source_name and (found.source_name, found.source_version) != (found.name, found.version):
            is_other = found.source_version and found.source_version != found.version
            qualifiers.setdefault(
                "upstream", f"{found.source_name}@{found.source_version}" if is_other else found.source_name
            )
    elif namespace:
        name = name.removeprefix(f"{namespace}:").removeprefix(f"{namespace}/")
    version = (found.version or "").removeprefix(f"{qualifiers.get('epoch')}:")
    return make_purl(form.name, namespace, name, version, qualifiers)


def make_purl(
    type_: str, namespace: str | None, name: str, version: str | None, qualifiers: Mapping[str, str] | None = None
) -> str:
    """Return a purl of parts that may hold anything.

    >>> make_purl("generic", None, " / ", "1 ")
    'pkg:generic/%3F@1'
    """
    # A purl is UTF-8, and its name has at least one character that is neither a space nor a separator.
    parts = [re.sub(r"^[\s/]+|[\s/]+$", "", _utf8(part or "")) for part in (namespace, name)]
    version = _utf8(version or "").strip() or None
    spelled = {key: _utf8(value) for key, value in (qualifiers or {}).items()}
    # PackageURL normalizes what it is given, and again for its text, which is all that is wanted here
    kind, space, named, stated, qualified, _ = normalize(
        type_, parts[0] or None, parts[1] or "?", version, spelled or None, None, encode=True
    )
    end = f"@{stated}" if stated else ""
    return f"pkg:{kind}/{f'{space}/' if space else ''}{named}{end}{f'?{qualified}' if qualified else ''}"


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
