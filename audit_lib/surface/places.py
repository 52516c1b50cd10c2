"""What lies where the kernel, cron, supervisors and the image's configuration look for it; keys and secrets."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

import pandas as pd

from audit_lib.links import Links
from audit_lib.surface.facts import Item, Secret, Seen, listed
from audit_lib.tables import SurfaceCategory

# crontab(5) of Debian, cronie and BusyBox; systemd.unit(5), init.d of System V and OpenRC, runit, s6, supervisord; modprobe(8)
_PLACES: Mapping[SurfaceCategory, str] = {
    "cron jobs": r"/etc/(?:crontab|anacrontab|cron\.(?:d|hourly|daily|weekly|monthly|yearly)/[^/.][^/]*"
    r"|crontabs/[^/]+|periodic/[^/]+/[^/]+)|/var/spool/cron/(?:crontabs/|tabs/)?[^/]+",
    "service units": r"/(?:etc|usr/lib|lib|run|usr/local/lib)/systemd/(?:system|user)/(?:[^/]+\.(?:wants|requires|d)/)?"
    r"[^/]+\.(?:service|socket|timer|path|mount|automount)"
    r"|/etc/(?:init\.d|rc\.d/init\.d)/[^/]+|/etc/init/[^/]+\.conf"
    r"|/etc/(?:service|sv|services\.d)/[^/]+/run|/etc/s6-overlay/s6-rc\.d/[^/]+/(?:run|up)"
    r"|/etc/supervisor(?:d\.conf|/supervisord\.conf|/conf\.d/[^/]+|d/[^/]+)",
    "kernel modules": r"/(?:usr/)?lib/modules/.+\.ko(?:\.gz|\.xz|\.zst)?",
    # PKCS #12, Java and BouncyCastle key stores, KeePass: containers of keys that are not looked into
    "private keys": r".*\.(?:p12|pfx|pkcs12|jks|jceks|bks|keystore|kdbx)",
}
_COMPILED = {category: re.compile(place) for category, place in _PLACES.items()}
# Files of these names say what the folder is for.
_NO_UNITS = ("README", "functions", "skeleton")


def places(files: pd.DataFrame, links: Links) -> Iterator[Item]:
    """Yield the files in known places; a link counts as the file to which it leads, none that leads to no file."""
    found: dict[tuple[SurfaceCategory, str], set[str]] = {}
    named = files[
        files["kind"].isin(["file", "hardlink", "symlink"]) & files["path"].str.fullmatch("|".join(_PLACES.values()))
    ]
    leads = {path: links.real(path) for path in named["path"]}
    regular = set(files.loc[files["kind"].eq("file") & files["path"].isin(list(leads.values())), "path"])
    for path, real in leads.items():
        category = next(category for category, place in _COMPILED.items() if place.fullmatch(path))
        if real is not None and real in regular and not posixpath.basename(path).startswith(_NO_UNITS):
            found.setdefault((category, real), set()).add(path)
    for (category, path), names in sorted(found.items()):
        others = sorted(names - {path})
        said = ["a key store, not looked into"] if category == "private keys" else []
        said += [f"also {listed(others)}"] if others else []
        yield Item(category, path, posixpath.basename(path), "; ".join(said) or None)


def declared(seen: Seen) -> Iterator[Item]:
    """Yield the ports and volumes that the configuration declares (OCI image-spec, config.md)."""
    for port in sorted(_keys(seen.config.get("ExposedPorts"))):
        yield Item("listening ports", None, port, "EXPOSE")
    for volume in sorted(_keys(seen.config.get("Volumes"))):
        yield Item("volumes", volume, volume, "VOLUME")


def secrets(seen: Seen) -> Iterator[Item]:
    """Yield keys and secrets, those of a rule in a file or a text of the configuration together; what is shown is redacted."""
    for kind in _SOUGHT if seen.unsearched else ():
        yield Item(kind, None, "in files", seen.unsearched, 0, "unknown")
    groups: dict[tuple[SurfaceCategory, str, str, str, int], list[Secret]] = {}
    for secret in seen.secrets:
        category: SurfaceCategory = "private keys" if secret.is_key else "secrets"
        groups.setdefault(
            (category, secret.path or "", secret.where if not secret.path else "", secret.rule, secret.layer or 0), []
        ).append(secret)
    for (category, path, where, rule, layer), several in sorted(groups.items()):
        said = [f"{one.where}: {one.shown}" if path else one.shown for one in several[:_SHOWN]]
        more = [f"and {len(several) - _SHOWN:,} more"] if len(several) > _SHOWN else []
        more += ["deleted or replaced by a later layer, and still in the image"] if layer else []
        name = (f"{rule} in layer {layer}" if layer else rule) if path else f"{where}: {rule}"
        yield Item(category, path or None, name, "; ".join([*said, *more]), len(several))


_SHOWN = 3
_SOUGHT: tuple[SurfaceCategory, ...] = ("private keys", "secrets")


def _keys(value: object) -> list[str]:
    return [str(key) for key in value] if isinstance(value, dict | list) else []
