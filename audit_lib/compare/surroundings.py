"""What programs take for granted around them, and whether it is still there: certificates, time zones, locales, /tmp, names, users.

Sources: the paths of Go's crypto/x509 (root_linux.go) and of the distributions' ca-certificates; tzset(3); locale(7); passwd(5),
nsswitch.conf(5); OCI image-spec, config.md (User); what Docker and Podman do with each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from audit_lib.compare.faults import Fault, Rated
from audit_lib.compare.programs import Programs
from audit_lib.compare.world import World

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
)
_BUNDLE_VARIABLES = (
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
_TEMPORARY = "/tmp"  # noqa: S108 - a path in an image
_ZONES = "/usr/share/zoneinfo"
_LOCALES = "/usr/lib/locale"
_LOCALE_VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG")
# tzset(3): a zone's name, unlike the rules of one that are spelled out (`CET-1CEST`), is a file's.
_ZONE_NAME = re.compile(r":?[A-Za-z_]+(?:/[\w+-]+)*")
_NEEDS_NO_ZONE = frozenset({"", "UTC", "GMT", "UTC0", "Etc/UTC"})
_SERVICES: Mapping[str, str] = {
    "/etc/passwd": "user ids have no names, and programs that ask for the user's name or home folder fail",
    "/etc/group": "group ids have no names",
    "/etc/nsswitch.conf": "older programs of glibc then look host names up in DNS before /etc/hosts",
    "/etc/services": "ports have no names (getservbyname)",
    "/etc/protocols": "protocols have no names (getprotobyname)",
}
# glibc brings C.UTF-8 in the library itself from this version on.
_BUILT_IN_LOCALE = "GLIBC_2.35"


class Uses(NamedTuple):
    """What tells whether the application needs something of its surroundings: a sentence each, None where nothing tells it."""

    tls: str | None
    own_certificates: str | None
    own_zones: str | None


def surrounding_faults(before: Programs, after: Programs, uses: Uses) -> Iterator[Rated]:
    """Yield what is no longer around the programs: there `before` the move, not there `after` it."""
    yield from _certificates(before, after, uses)
    yield from _zones(before, after, uses)
    yield from _locales(before, after)
    yield from _temporary(before, after)
    yield from _name_services(before.world, after.world)
    yield from _preloaded(before, after)


def _certificates(before: Programs, after: Programs, uses: Uses) -> Iterator[Rated]:
    for name in _BUNDLE_VARIABLES:
        path = after.running.env.get(name)
        if path and before.world.is_there(path) and not after.world.is_there(path):
            yield Rated(
                "medium",
                Fault(
                    "certificates_missing",
                    f"ENV {name}",
                    path,
                    f"{name} names {path}, which is not there",
                    "copy the certificates there, or set the variable to where the image has them",
                ),
            )
    bundle, left = _bundle(before.world), _bundle(after.world)
    if bundle is None or left == bundle:
        return
    if left is not None:
        why = f"the certificates of authorities are at {left}, no longer at {bundle}: a program with that path built in finds none"
        todo = f"set SSL_CERT_FILE={left}"
    else:
        why = "there are no certificates of authorities: every TLS client that verifies its server fails"
        todo = "choose a minimal image with ca-certificates, or copy the bundle to the same path"
    severity: Literal["medium", "low"] = "low"
    if left is None and uses.own_certificates is not None:
        why = f"{why}; {uses.own_certificates}"
    elif left is None and uses.tls is not None:
        severity, why = "medium", f"{why}; {uses.tls}"
    yield Rated(severity, Fault("certificates_missing", bundle, bundle, why, todo))


def _bundle(world: World) -> str | None:
    for path in _BUNDLES:
        real = world.file(path)
        if real is not None and world.entries[real].size:
            return path
    return None


def _zones(before: Programs, after: Programs, uses: Uses) -> Iterator[Rated]:
    zone = after.running.env.get("TZ", "")
    name = zone.removeprefix(":")
    path = name if name.startswith("/") else f"{_ZONES}/{name}"
    is_name = bool(_ZONE_NAME.fullmatch(zone)) or name.startswith("/")
    if is_name and name not in _NEEDS_NO_ZONE and before.world.file(path) and not after.world.file(path):
        yield Rated(
            "medium",
            Fault(
                "time_zones_missing",
                "ENV TZ",
                path,
                f"TZ is {zone}, and {path} is not there: local time would be UTC",
                "install tzdata, or copy the zone's file to the same path",
            ),
        )
    if before.world.file("/etc/localtime") and not after.world.file("/etc/localtime"):
        yield Rated(
            "low",
            Fault(
                "time_zones_missing",
                "/etc/localtime",
                "/etc/localtime",
                "local time is what /etc/localtime says, which is not there: it would be UTC",
                "copy the zone's file to /etc/localtime, or set TZ",
            ),
        )
    if _has_zones(before.world) and not _has_zones(after.world):
        own = f"; {uses.own_zones}" if uses.own_zones is not None else ""
        yield Rated(
            "info" if own else "low",
            Fault(
                "time_zones_missing",
                _ZONES,
                _ZONES,
                f"there are no time zones: a program that asks for one by name fails or takes UTC{own}",
                "install tzdata, or copy the zones that are used to the same path",
            ),
        )


def _has_zones(world: World) -> bool:
    return any(world.file(f"{_ZONES}/{name}") for name in ("UTC", "Etc/UTC", "Europe/London"))


def _locales(before: Programs, after: Programs) -> Iterator[Rated]:
    for variable in _LOCALE_VARIABLES:
        name = after.running.env.get(variable, "")
        if _has_locale(before, name) and not _has_locale(after, name):
            yield Rated(
                "low",
                Fault(
                    "locale_missing",
                    f"ENV {variable}",
                    name,
                    f"{variable} is {name}, which the image does not have: programs fall back to C, that is ASCII and English",
                    "set LANG=C.UTF-8, or install the locale",
                ),
            )
            return


def _has_locale(programs: Programs, name: str) -> bool:
    """Tell whether a locale is there, or may be: what an archive of locales holds is not looked into. musl knows them all."""
    world = programs.world
    if name in {"", "C", "POSIX"}:
        return True
    libraries = [path for path in world.binaries if path.endswith(("/libc.so.6", "/libc-2.31.so"))]
    if not libraries:
        return True
    language, _, charset = name.partition(".")
    if name in {"C.UTF-8", "C.utf8"} and any(
        _BUILT_IN_LOCALE in world.binaries[path].defined_versions for path in libraries
    ):
        return True
    spelled = (name, f"{language}.{charset.lower().replace('-', '')}", f"{language}.{charset.lower()}")
    return world.file(f"{_LOCALES}/locale-archive") is not None or any(
        world.folder(f"{_LOCALES}/{one}") for one in spelled
    )


def _temporary(before: Programs, after: Programs) -> Iterator[Rated]:
    if _is_temporary(before) and not _is_temporary(after):
        real = after.world.folder(_TEMPORARY)
        mode = "is not there" if real is None else f"has mode {after.world.entries[real].mode:04o}"
        yield Rated(
            "medium",
            Fault(
                "temporary_folder_missing",
                _TEMPORARY,
                _TEMPORARY,
                f"{_TEMPORARY} {mode}, so a program that makes temporary files fails",
                "make it in the build with mode 1777, mount a tmpfs there, or set TMPDIR",
            ),
        )


def _is_temporary(programs: Programs) -> bool:
    real = programs.world.folder(_TEMPORARY)
    if real is None or real == "/":
        return False
    is_root = programs.identity is None or programs.identity.uid == 0
    return is_root or programs.may(real, "write")


def _name_services(before: World, after: World) -> Iterator[Rated]:
    for path, why in _SERVICES.items():
        if before.file(path) and not after.file(path):
            yield Rated(
                "low",
                Fault(
                    "name_service_missing",
                    path,
                    path,
                    f"{path} is not there: {why}",
                    f"copy {path} from the full image",
                ),
            )


def _preloaded(before: Programs, after: Programs) -> Iterator[Rated]:
    for path in re.split(r"[\s:]+", after.running.env.get("LD_PRELOAD", "")):
        if path.startswith("/") and before.world.file(path) and not after.world.file(path):
            yield Rated(
                "low",
                Fault(
                    "library_missing",
                    "ENV LD_PRELOAD",
                    path,
                    f"LD_PRELOAD names {path}, which is not there: programs run without it, and say so",
                    "install it, or do without LD_PRELOAD",
                ),
            )
