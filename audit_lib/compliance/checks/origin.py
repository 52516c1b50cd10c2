"""Checks of where an image comes from: its base, and what vouches for it."""

from __future__ import annotations

from typing import Any

from audit_lib.compliance.base import (
    Base,
    Check,
    Judged,
    Rules,
    Verdict,
    counted,
    fact,
    failed,
    named,
    not_assessable,
    passed,
    run_config,
    to_look_at,
)
from audit_lib.compliance.checks.configuration import judge_age

_BASE_LABELS = ("org.opencontainers.image.base.name", "org.opencontainers.image.base.digest")


def base_allowed(found: Judged, rules: Rules) -> Verdict:
    """Fail where the lowest layers are not those of any base that the policy allows. Names and labels prove nothing."""
    claimed = _claimed(found)
    if not rules.bases:
        return to_look_at("which base the image was built on; the policy lists none by its layers", claimed)
    base = find_base(found, rules)
    if base is None:
        said = f"its lowest layers are not those of {named(one.name for one in rules.bases)}"
        return failed(f"{said}; {claimed}" if claimed else said)
    return passed(f"its lowest {counted(len(base.layers), 'layer')} are those of {base.name}")


def base_age(found: Judged, rules: Rules) -> Verdict:
    """Fail where the base (where none of the policy's is found, the first layer) was made more than `max_days` ago."""
    base = find_base(found, rules)
    times = _layer_times(found)
    if times is None:
        return not_assessable("the image does not state when its layers were made")
    place = len(base.layers) - 1 if base else 0
    what = f"the base {base.name}" if base else "the first layer"
    created = times[place]
    if created is None:
        return not_assessable(f"the image does not state when {what} was made")
    return judge_age(f"{what}, made {created}", created, rules)


def vouched_for(found: Judged, rules: Rules) -> Verdict:
    """Pass where a signature or an attestation of provenance is attached; whether it is good is not looked at."""
    del rules
    attached = found.referrers
    signatures = int((attached["kind"] == "signature").sum())
    stated = attached["predicate_type"].fillna("").str.lower()
    provenances = int(((attached["kind"] == "attestation") & stated.str.contains("provenance|slsa", regex=True)).sum())
    if signatures or provenances:
        said = f"{counted(signatures, 'signature')} and {counted(provenances, 'attestation')} of provenance"
        return passed(f"{said} attached, not verified here")
    return _not_attached(found, "no signature and no attestation of provenance is attached")


def sbom_attached(found: Judged, rules: Rules) -> Verdict:
    """Pass where an SBOM is attached; whether it is true is not looked at."""
    del rules
    count = int((found.referrers["kind"] == "sbom").sum())
    return (
        passed(f"{counted(count, 'SBOM')} attached, not compared here")
        if count
        else _not_attached(found, "no SBOM is attached")
    )


def _not_attached(found: Judged, said: str) -> Verdict:
    """Fail where the registry was asked; an index in a file holds only what the build put beside the image."""
    if fact(found, "source") == "registry":
        return failed(said)
    return not_assessable("what a registry holds for the image is not told by the file that it was read from", said)


def content_trust(found: Judged, rules: Rules) -> Verdict:
    """Never tell: content trust is a setting of the client that pulls, not of an image."""
    del found, rules
    return not_assessable("content trust is a setting of the client that pulls and pushes; no image holds it")


def signed_artifacts(found: Judged, rules: Rules) -> Verdict:
    """Leave to a person: that signatures are there says nothing of who checks them before use."""
    del found, rules
    return to_look_at(
        "that what is deployed is verified against a key or an identity that is trusted: the admission policy, and the "
        "signatures of images and packages that the build takes in"
    )


def malware_scanned(found: Judged, rules: Rules) -> Verdict:
    """Never tell: files are not compared with known malware."""
    del found, rules
    return not_assessable("files are not compared with known malware; that takes a malware scanner")


def find_base(found: Judged, rules: Rules) -> Base | None:
    """Return the allowed base whose layers are the image's lowest ones, the one with most layers; None where none is."""
    layers = list(zip(found.layers["diff_id"].tolist(), found.layers["layer_digest"].tolist(), strict=True))
    fitting = [
        base
        for base in rules.bases
        if len(base.layers) <= len(layers)
        and all(digest in pair for digest, pair in zip(base.layers, layers, strict=False))
    ]
    return max(fitting, key=lambda base: len(base.layers), default=None)


def _claimed(found: Judged) -> str | None:
    labels = run_config(found).get("Labels")
    said = (
        [labels[name] for name in _BASE_LABELS if isinstance(labels.get(name), str)] if isinstance(labels, dict) else []
    )
    return f"by its labels it is built on {' '.join(said)}, which is no proof" if said else None


def _layer_times(found: Judged) -> list[str | None] | None:
    """Return when each layer was made, as the history states it; None where the history does not fit the layers."""
    steps: Any = found.config.get("history")
    made = (
        [step for step in steps if isinstance(step, dict) and not step.get("empty_layer")]
        if isinstance(steps, list)
        else []
    )
    if len(made) != len(found.layers) or not made:
        return None
    times = [step.get("created") for step in made]
    return [time if isinstance(time, str) and time else None for time in times]


CHECKS = (
    Check(
        id="base-allowed",
        title="The image is built on an allowed base",
        needs=("layers",),
        judge=base_allowed,
        remedy="Build on a base that the policy lists, or add this one's layers to `bases` of the policy after a review.",
    ),
    Check(
        id="base-age",
        title="The base was built lately",
        needs=("config", "layers"),
        judge=base_age,
        remedy="Build on the current version of the base.",
        options={"max_days": "count"},
    ),
    Check(
        id="signature-or-provenance",
        title="A signature or an attestation of provenance is attached",
        needs=("referrers",),
        judge=vouched_for,
        remedy="Sign the image (cosign sign, notation sign), or have the build attach provenance (buildx --provenance).",
    ),
    Check(
        id="sbom-attached",
        title="An SBOM is attached",
        needs=("referrers",),
        judge=sbom_attached,
        remedy="Have the build attach one (buildx --sbom), or attach one: image-audit inspect IMAGE --format cyclonedx makes it.",
    ),
    Check(
        id="malware-scanned",
        title="The image was scanned for malware",
        needs=(),
        judge=malware_scanned,
        remedy="Scan its files with a malware scanner and keep the report.",
    ),
    Check(
        id="content-trust",
        title="Content trust is on where images are pulled",
        needs=(),
        judge=content_trust,
        remedy="Have clusters and clients verify signatures before they pull.",
    ),
    Check(
        id="signed-artifacts",
        title="All signed artifacts are validated",
        needs=(),
        judge=signed_artifacts,
        remedy="Verify signatures at admission and in the build (cosign verify, notation verify, signed repositories).",
    ),
)
