"""Where images carry SBOM documents of what is in them, by whom, and what such a document speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["bitnami", "melange", "docker", "python"]
Scope = Literal["folder", "apk", "owner", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Who puts documents into images, and where (globs without leading slash).

    `scope`: of which packages a document would be wrong to be silent: those in its own `folder`; all of the format `apk`, each of
    which has a document; those in the files of the package that owns it (`owner`); or `nothing` that is known.
    """

    name: Name
    globs: tuple[str, ...]
    scope: Scope


PUBLISHERS = (
    # Bitnami: one document a component, /opt/bitnami/redis/.spdx-redis.spdx, JSON since 2023 and tagged lines before.
    Publisher(name="bitnami", globs=("opt/bitnami/**/.spdx-*.spdx",), scope="folder"),
    # melange, which builds the apk packages of Wolfi and Chainguard, puts a document into each.
    Publisher(name="melange", globs=("var/lib/db/sbom/*.spdx.json",), scope="apk"),
    # Docker Hardened Images: /opt/docker/sbom/ghc/.spdx.ghc.json for what was built from source.
    Publisher(name="docker", globs=("opt/docker/sbom/**/*.json",), scope="nothing"),
    # Python wheels say what is compiled into them (PEP 770).
    Publisher(
        name="python",
        globs=tuple(f"**/*.dist-info/sboms/**/*.{ending}" for ending in ("json", "xml", "spdx")),
        scope="owner",
    ),
)
GLOBS = tuple(glob for publisher in PUBLISHERS for glob in publisher.globs)
