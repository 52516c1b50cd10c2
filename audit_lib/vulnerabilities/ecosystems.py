"""Which advisories speak of a package: ecosystem and release as OSV names them, the package's name there, the order of versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from packageurl import PackageURL

# What OSV's defined ecosystems order their versions by (OSV schema, "Defined ecosystems"); those left out here are not matched.
SCHEMES: Mapping[str, str] = {
    "AlmaLinux": "rpm",
    "Alpine": "apk",
    "CRAN": "cran",
    "Chainguard": "apk",
    "Debian": "deb",
    "Go": "semver",
    "Maven": "maven",
    "NuGet": "nuget",
    "Packagist": "composer",
    "PyPI": "pypi",
    "Red Hat": "rpm",
    "Rocky Linux": "rpm",
    "RubyGems": "gem",
    "SUSE": "rpm",
    "Ubuntu": "deb",
    "Wolfi": "apk",
    "crates.io": "semver",
    "npm": "semver",
    "openSUSE": "rpm",
}
DISTRIBUTIONS = frozenset(name for name, scheme in SCHEMES.items() if scheme in {"deb", "apk", "rpm"})
# A package's format, and for those of a distribution its os-release ID, as OSV names it.
_OF_LANGUAGES = {
    "cargo": "crates.io",
    "composer": "Packagist",
    "cran": "CRAN",
    "gem": "RubyGems",
    "golang": "Go",
    "maven": "Maven",
    "npm": "npm",
    "nuget": "NuGet",
    "pypi": "PyPI",
}
_OF_DISTRIBUTIONS = {
    ("apk", "alpine"): "Alpine",
    ("apk", "chainguard"): "Chainguard",
    ("apk", "wolfi"): "Wolfi",
    ("deb", "debian"): "Debian",
    ("deb", "ubuntu"): "Ubuntu",
    ("rpm", "almalinux"): "AlmaLinux",
    ("rpm", "opensuse-leap"): "openSUSE",
    ("rpm", "opensuse-tumbleweed"): "openSUSE",
    ("rpm", "redhat"): "Red Hat",
    ("rpm", "rhel"): "Red Hat",
    ("rpm", "rocky"): "Rocky Linux",
    ("rpm", "sle_hpc"): "SUSE",
    ("rpm", "sled"): "SUSE",
    ("rpm", "sles"): "SUSE",
}
DISTRIBUTION_FORMATS = frozenset(form for form, _ in _OF_DISTRIBUTIONS)
# Releases of these are told apart by the first number of a version; of the others by two.
_MAJOR = frozenset({"AlmaLinux", "Debian", "Red Hat", "Rocky Linux"})
_ROLLING = frozenset({"Chainguard", "Wolfi"})


class Subject(NamedTuple):
    """What to ask advisories: `names` are those that they may have for the package, each with the version it stands for.

    `release` is "" where an ecosystem has no releases, None where it has and the image does not say which.
    """

    ecosystem: str
    release: str | None
    names: tuple[tuple[str, str | None], ...]

    @property
    def place(self) -> str:
        """The ecosystem and its release as OSV writes them, such as `Debian:12`."""
        return f"{self.ecosystem}:{self.release}" if self.release else self.ecosystem


def subject_of(package: Mapping[str, str | None], distro_id: str | None, distro_version: str | None) -> Subject | None:
    """Return what to ask advisories of a package (a row of `packages`, None for missing); None where none are published for it."""
    form, name, version = str(package["format"]), str(package["name"]), package["version"]
    ecosystem = _OF_LANGUAGES.get(form)
    if ecosystem is not None:
        if form == "maven":
            parts = PackageURL.from_string(str(package["purl"]))
            name = f"{parts.namespace}:{parts.name}" if parts.namespace else str(parts.name)
        if form == "golang" and version is not None and name in {"stdlib", "toolchain"}:
            version = version.removeprefix("go")
        return Subject(ecosystem, "", ((normalized(ecosystem, name), version),))
    ecosystem = _OF_DISTRIBUTIONS.get((form, distro_id or ""))
    if ecosystem is None:
        return None
    release = "" if ecosystem in _ROLLING else release_of_image(ecosystem, distro_id, distro_version)
    source, source_version = package["source_name"] or name, package["source_version"] or version
    if form != "rpm":
        return Subject(ecosystem, release, ((source, source_version),))
    # Red Hat and AlmaLinux name the packages that one installs, SUSE and Rocky Linux their sources. The name of a source
    # package holds no epoch.
    epoch, colon, _ = (version or "").partition(":")
    if colon and source_version is not None and ":" not in source_version:
        source_version = f"{epoch}:{source_version}"
    return Subject(ecosystem, release, tuple(dict.fromkeys([(name, version), (source, source_version)])))


def normalized(ecosystem: str, name: str) -> str:
    """Return a package's name as it is compared: those of PyPI, NuGet, Packagist and crates.io may be written in several ways.

    >>> normalized("PyPI", "Zope.Interface"), normalized("crates.io", "serde_json"), normalized("npm", "@types/Node")
    ('zope-interface', 'serde-json', '@types/Node')
    """
    if ecosystem == "PyPI":  # PEP 503
        return re.sub(r"[-_.]+", "-", name).lower()
    if ecosystem in {"NuGet", "Packagist"}:
        return name.lower()
    return name.lower().replace("_", "-") if ecosystem == "crates.io" else name


def release_of_image(ecosystem: str, distro_id: str | None, distro_version: str | None) -> str | None:
    """Return the release that an os-release file states, as `release_of` has it; None where it states none.

    >>> release_of_image("Alpine", "alpine", "3.20.3"), release_of_image("Debian", "debian", "12")
    ('3.20', '12')
    """
    if distro_id == "opensuse-tumbleweed":
        return "Tumbleweed"
    numbers = re.match(r"(\d+)(?:\.(\d+))?", distro_version or "")
    if not numbers:
        return None
    if ecosystem in _MAJOR:
        return numbers[1]
    if ecosystem == "SUSE":  # 15 alone is the release before the first service pack
        return f"{numbers[1]}.{numbers[2] or 0}"
    return numbers[0]


def release_of(place: str) -> tuple[str, str]:
    """Return (ecosystem, release) of an advisory's `package.ecosystem`, in the words of `release_of_image`; "" for no release.

    A product of Red Hat or SUSE that is no ordinary one (extended support, live patching) stays a release of its own, which no
    image states.

    >>> release_of("Alpine:v3.20"), release_of("Ubuntu:22.04:LTS"), release_of("Red Hat:enterprise_linux:9::baseos")
    (('Alpine', '3.20'), ('Ubuntu', '22.04'), ('Red Hat', '9'))
    >>> release_of("SUSE:Linux Enterprise Module for Basesystem 15 SP5"), release_of("openSUSE:Leap 15.5")
    (('SUSE', '15.5'), ('openSUSE', '15.5'))
    """
    ecosystem, _, rest = place.partition(":")
    if ecosystem == "Alpine":
        rest = rest.removeprefix("v")
    elif ecosystem == "Ubuntu":
        rest = rest.removesuffix(":LTS")
    elif ecosystem == "openSUSE":
        rest = rest.removeprefix("Leap ")
    elif ecosystem == "Red Hat" and (match := re.match(r"enterprise_linux:(\d+)(\.\d+)?(:|$)", rest)):
        rest = match[1]
    elif ecosystem == "SUSE" and (
        match := re.fullmatch(r"Linux Enterprise (?:Server|Desktop|Module for .+?) (\d+)(?: SP(\d+))?", rest)
    ):
        rest = f"{match[1]}.{match[2] or 0}"
    return ecosystem, rest
