"""Checks of what an image says of itself: user, health check, name, age, size."""

from __future__ import annotations

import datetime as dt
import re

from audit_lib.clock import parse_day
from audit_lib.compliance.base import (
    Check,
    Judged,
    Rules,
    Verdict,
    counted,
    fact,
    failed,
    not_assessable,
    passed,
    run_config,
    to_look_at,
)
from audit_lib.units import format_bytes

# Sources whose references are the names that people deploy by.
_NAMING = frozenset({"docker", "podman", "registry"})
# Reproducible builds set a time before there were images: it says nothing of the age.
_FIRST_IMAGES = dt.date(2013, 1, 1)


def non_root_user(found: Judged, rules: Rules) -> Verdict:
    """Fail where processes start as root: no user is stated, or it is root or 0."""
    del rules
    user = fact(found, "user")
    if user is None:
        return failed("no user is stated, so processes start as root")
    name = user.partition(":")[0]
    is_root = name in {"", "root"} or (name.isdecimal() and int(name[:20]) == 0)
    return failed(f"the user is {user}") if is_root else passed(f"the user is {user}")


def healthcheck(found: Judged, rules: Rules) -> Verdict:
    """Fail where the configuration states no health check, or turns off that of the base (`NONE`)."""
    del rules
    stated = run_config(found).get("Healthcheck")
    words = stated.get("Test") if isinstance(stated, dict) else None
    if not isinstance(words, list) or not words:
        return failed("no health check is stated")
    if words[0] == "NONE":
        return failed("the health check of the base is turned off (NONE)")
    form = words[0] if words[0] in {"CMD", "CMD-SHELL"} else "of another form"
    return passed(f"a health check is stated ({form})")


def fixed_name(found: Judged, rules: Rules) -> Verdict:
    """Fail for `latest`, no tag, or a tag of the policy's list; pass for a digest or an image's id.

    Whether any other tag can be moved is known to the registry alone.
    """
    source, reference = fact(found, "source"), fact(found, "reference")
    if source not in _NAMING:
        return not_assessable(f"the image was read from {source}, not by the name that it is deployed by")
    name = reference.removeprefix(f"{source}:")
    if "@" in name or re.fullmatch(r"(sha256:)?[0-9a-f]{64}", name):
        return passed("named by its digest")
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag:
        return failed("named without a tag, which means latest")
    if tag in rules.options["moving_tags"]:
        return failed(f"named by the tag {tag}, which moves by its purpose")
    return to_look_at(
        f"whether the registry lets nobody move the tag {tag}; a digest (NAME@sha256:…) would leave no doubt",
        f"named by the tag {tag}",
    )


def image_age(found: Judged, rules: Rules) -> Verdict:
    """Fail where the image was made more than `max_days` ago."""
    created = fact(found, "created_utc")
    if created is None:
        return not_assessable("the image does not state when it was made")
    return judge_age(f"made {created}", created, rules)


def judge_age(what: str, created: str, rules: Rules) -> Verdict:
    """Return what the age of something made at `created` says, against the option `max_days`; `what` begins the evidence."""
    day, limit = parse_day(created), rules.options["max_days"]
    if day is None or day < _FIRST_IMAGES:
        return not_assessable(f"{what}: a time that a reproducible build sets, not when it was built")
    if day > rules.today:
        return not_assessable(f"{what}: after the day by which it is judged, {rules.today}")
    evidence = f"{what}; the policy allows {counted(limit, 'day')} before {rules.today}"
    return failed(evidence) if (rules.today - day).days > limit else passed(evidence)


def size_budget(found: Judged, rules: Rules) -> Verdict:
    """Fail where files or compressed layers weigh more than the policy allows."""
    limits = {name: rules.options[f"max_{name}"] for name in ("file_bytes", "compressed_bytes")}
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    if not asked:
        return not_assessable("the policy sets no budget")
    sizes = {name: fact(found, name) for name in asked}
    said = "; ".join(
        f"{name.replace('_', ' ')}: {format_bytes(sizes[name])} of {format_bytes(limit)} allowed"
        for name, limit in asked.items()
    )
    if any(size is not None and size > asked[name] for name, size in sizes.items()):
        return failed(said)
    if None in sizes.values():
        return not_assessable("where the image was read from does not state its compressed bytes", said)
    return passed(said)


CHECKS = (
    Check(
        id="non-root-user",
        title="Processes start as a user other than root",
        needs=("config",),
        judge=non_root_user,
        remedy="Create a user for the application and name it by USER, best by its number.",
    ),
    Check(
        id="healthcheck",
        title="A health check is stated",
        needs=("config",),
        judge=healthcheck,
        remedy="Add HEALTHCHECK; where an orchestrator's probes do this, waive the check and say so.",
    ),
    Check(
        id="fixed-name",
        title="The image is named by a digest, or by a tag that does not move",
        needs=(),
        judge=fixed_name,
        remedy="Deploy by digest (NAME@sha256:…), or by a tag that the registry makes immutable.",
        options={"moving_tags": "texts"},
    ),
    Check(
        id="image-age",
        title="The image was built lately",
        needs=(),
        judge=image_age,
        remedy="Build it anew on its base's current version, and on a schedule.",
        options={"max_days": "count"},
    ),
    Check(
        id="size-budget",
        title="The image keeps to its size budget",
        needs=("files",),
        judge=size_budget,
        remedy="Leave out what the application does not need; image-audit inspect --table packages tells what weighs most.",
        options={"max_file_bytes": "bytes", "max_compressed_bytes": "bytes"},
    ),
)
