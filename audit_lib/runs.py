"""One audit of a schedule, from its images to its report and to the rows that a history keeps; any executor can be given it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import hashlib
import json
import os
import tempfile
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd

from audit_lib.audit import Audit, audit
from audit_lib.audits import Plan, Planned
from audit_lib.compliance import CHECKS, NEVER, Policy, findings_of, read_policy
from audit_lib.errors import AuditError, SettingsError
from audit_lib.exports import provenance
from audit_lib.exports.formats import chosen_formats
from audit_lib.exports.manifest import MANIFEST
from audit_lib.history import RUNS, History, Records, failed_records, records_of, repeated_records
from audit_lib.layer import Limits
from audit_lib.parameters import fit_values
from audit_lib.reports import find_notebook, notebook_parameters, run_report
from audit_lib.retention import forget, new_folder
from audit_lib.store import NONE, default_place
from audit_lib.tables import HistoryRole, Severity
from audit_lib.tasks import Order, look
from audit_lib.vulnerabilities import database
from audit_lib.wanted import Wanted

Status = typing.Literal["done", "unchanged", "gate_failed", "damaged", "failed"]
# The notebook's parameter for each image of an audit, and for what else a schedule states.
_IMAGE_PARAMETERS: Mapping[HistoryRole, str] = {
    "image": "image",
    "full": "full_image",
    "minimal": "minimal_image",
    "app": "app_image",
}
_REPORT_PARAMETERS: Mapping[HistoryRole, str] = {
    "image": "scanner_report_files",
    "full": "full_report_files",
    "minimal": "minimal_report_files",
    "app": "app_report_files",
}
_PLATFORM, _POLICY, _VEX = "platform", "policy_file", "vex_files"
# For so many days ahead it is looked at whether findings stay the same; an unchanged image is audited anew at the latest then.
_HORIZON = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one audit.

    `said`: a sentence for people, why it failed or what the gate names. `report`: its folder below that of all reports, None where
    there is none. `records`: what the history keeps of its images.
    """

    name: str
    status: Status
    said: str | None = None
    report: str | None = None
    records: tuple[Records, ...] = ()


def check_plan(plan: Plan) -> None:
    """Raise `SettingsError`, with file and line, where a schedule names a notebook, parameter, policy or check that is not there.

    Raises it of a policy too that does not fit.
    """
    for planned in plan.audits:
        for key, problem in _problems(planned):
            place = f"{plan.path}, line {planned.lines[key]}: audits.{planned.name}.{key}"
            raise SettingsError(f"{place}: {problem}")


def run_audit(planned: Planned, *, reports: str, run_utc: str, last: History | None = None) -> Outcome:
    """Audit the images of one entry of a schedule, judge them, and write the report into a new folder below `reports`.

    `last`: what the last run of this audit knew, so that nothing is done where nothing has changed since; None to do it all the
    same. Nothing is raised for what is wrong with an image: the outcome says it.
    """
    folder = None
    try:
        policy = _policy(planned)
        basis = _basis(planned, policy)
        if last is not None and _is_unchanged(planned, last.runs, basis, Path(reports), run_utc):
            return _unchanged(planned, last, run_utc)
        found = {role: _audited(planned, role, policy) for role in planned.images}
        folder = new_folder(Path(reports) / planned.name, run_utc)
        return _reported(planned, found, folder, basis=basis, run_utc=run_utc)
    except (AuditError, OSError, ValueError) as error:
        return failed_outcome(planned, _said(error), run_utc=run_utc)
    finally:
        if folder is not None:
            forget(folder)


def failed_outcome(planned: Planned, error: str, *, run_utc: str) -> Outcome:
    """Return the outcome of an audit of which there is no report, and why."""
    records = tuple(
        failed_records(wanted, error, audit_name=planned.name, role=role, run_utc=run_utc)
        for role, wanted in planned.images.items()
    )
    return Outcome(name=planned.name, status="failed", said=error, records=records)


def _reported(
    planned: Planned, found: Mapping[HistoryRole, Audit], folder: Path, *, basis: str, run_utc: str
) -> Outcome:
    report = run_report(notebook_of(planned), folder, _parameters(planned), formats=planned.formats, progress=False)
    _check_same_images(found, folder)
    records = {
        role: records_of(one, planned.images[role], audit_name=planned.name, role=role, run_utc=run_utc)
        for role, one in found.items()
    }
    digests = [records[role][RUNS]["image_digest"].iloc[0] for role in planned.images]
    gate = _gate(found[planned.judged].findings, planned)
    added = {
        "report": f"{planned.name}/{folder.name}",
        "fingerprint": _fingerprint(basis, digests),
        "judged_until_utc": _judged_until(found, run_utc),
    }
    return Outcome(
        name=planned.name,
        status="damaged" if report.is_damaged else "gate_failed" if gate else "done",
        said="; ".join(report.gaps) if report.is_damaged else gate,
        report=added["report"],
        records=tuple(
            _with(records[role], {**added, "is_gate_failed": bool(gate) if role == planned.judged else None})
            for role in planned.images
        ),
    )


def _with(records: Records, facts: Mapping[str, object]) -> Records:
    runs = records[RUNS]
    columns = {name: pd.Series([value]).astype(runs[name].dtype) for name, value in facts.items()}
    return {**records, RUNS: runs.assign(**columns)}


def notebook_of(planned: Planned) -> str:
    """Return the notebook of an audit: its own, else the one for a pair or for an image."""
    return planned.notebook or ("compare_images" if "minimal" in planned.images else "image_inventory")


def _problems(planned: Planned) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong with it)."""
    try:
        known = notebook_parameters(notebook_of(planned))
    except AuditError as error:
        yield "notebook", str(error)
        return
    try:
        fit_values(known, planned.parameters, notebook=notebook_of(planned))
    except AuditError as error:
        yield "parameters", str(error)
    try:
        notebook = nbformat.read(find_notebook(notebook_of(planned)), as_version=4)  # type: ignore[no-untyped-call]
        chosen_formats(planned.formats, notebook, notebook_of(planned))
    except AuditError as error:
        yield "formats", str(error)
    given = {name for role, name in _IMAGE_PARAMETERS.items() if role in planned.images}
    given |= {_PLATFORM, _POLICY, _VEX, *_REPORT_PARAMETERS.values()}
    for name in sorted(given & planned.parameters.keys()):
        yield "parameters", f"{name} is what another key of the schedule states, expected it there"
    for role in planned.images:
        if _IMAGE_PARAMETERS[role] not in known:
            yield (
                "notebook",
                f"{notebook_of(planned)} has no parameter {_IMAGE_PARAMETERS[role]}, so it cannot be given an image {role}",
            )
    checks = [check.id for check in CHECKS]
    for name in planned.gate.checks:
        if name not in checks:
            close = difflib.get_close_matches(name, checks, n=1)
            yield "gate", f"no check is called {name!r}" + (f", did you mean {close[0]!r}?" if close else "")
    if planned.policy is not None:
        read_policy(planned.policy)


def _policy(planned: Planned) -> Policy:
    policy = read_policy(planned.policy)
    word = planned.gate.fail_on
    if word is None:
        return policy
    return policy.gated_at(None if word == NEVER else typing.cast("Severity", word))


def _audited(planned: Planned, role: HistoryRole, policy: Policy) -> Audit:
    wanted = planned.images[role]
    return audit(
        wanted.reference,
        platform=wanted.platform,
        policy=policy,
        scanner_reports=planned.scanner_reports.get(role, ()),
        vex=planned.vex,
    )


def _parameters(planned: Planned) -> dict[str, object]:
    known = notebook_parameters(notebook_of(planned))
    given: dict[str, object] = {_IMAGE_PARAMETERS[role]: wanted.reference for role, wanted in planned.images.items()}
    stated = {
        _PLATFORM: next(iter(planned.images.values())).platform,
        _POLICY: planned.policy,
        _VEX: _paths(planned.vex),
        **{_REPORT_PARAMETERS[role]: _paths(paths) for role, paths in planned.scanner_reports.items()},
    }
    given |= {name: value for name, value in stated.items() if value is not None and name in known}
    return {**given, **planned.parameters}


def _paths(paths: Sequence[str]) -> str | None:
    """Return files as a notebook takes several, None for none."""
    return os.pathsep.join(str(Path(path).absolute()) for path in paths) or None


def _gate(findings: pd.DataFrame, planned: Planned) -> str | None:
    """Return what makes the gate fail, None where nothing does."""
    is_named = findings["check_id"].isin(planned.gate.checks) & (findings["status"] == "fail")
    failed = findings[findings["is_gate_failed"] | is_named]
    named = [f"{row.check_id} ({row.severity})" for row in failed.itertuples()]
    return f"the gate failed: {', '.join(named)}" if named else None


def _check_same_images(found: Mapping[HistoryRole, Audit], folder: Path) -> None:
    """Raise `AuditError` where the report is of another image than the one that was judged, since a tag moved in between."""
    reported = {
        (row.get("manifest_digest"), row.get("config_digest"))
        for row in json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("images", [])
    }
    for one in found.values():
        image = one.image.iloc[0]
        digests = tuple(
            None if pd.isna(image[name]) else str(image[name]) for name in ("manifest_digest", "config_digest")
        )
        if reported and digests not in reported:
            raise AuditError(
                f"{image['reference']}: names another image than a moment before, so {folder} is of another one"
            )


def _judged_until(found: Mapping[HistoryRole, Audit], run_utc: str) -> str:
    """Return the last day, at most `_HORIZON` days ahead, until which all findings stay as they are: waivers end, images age."""
    low, high = 0, _HORIZON + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if all(_is_same(one, middle) for one in found.values()) else (low, middle)
    return str(dt.date.fromisoformat(run_utc[:10]) + dt.timedelta(days=low))


def _is_same(found: Audit, days: int) -> bool:
    later = dt.date.fromisoformat(found.today_utc) + dt.timedelta(days=days)
    return findings_of(found, found.policy, str(later))["status"].equals(found.findings["status"])


def _basis(planned: Planned, policy: Policy) -> str:
    """Return what an audit depends on beside its images, as one short text."""
    reports = [path for paths in planned.scanner_reports.values() for path in paths]
    documents = (*planned.vex, *reports, str(find_notebook(notebook_of(planned))))
    stated = {
        "tool": [provenance.version(), provenance.commit()],
        "policy": policy.digest,
        "advisories": None if database.default_place() == NONE else database.Database().state(),
        "gate": dataclasses.asdict(planned.gate),
        "documents": [_file_digest(Path(path)) for path in documents],
        "images": {role: list(wanted) for role, wanted in planned.images.items()},
        "parameters": dict(planned.parameters),
        "formats": planned.formats,
    }
    return _short(json.dumps(stated, sort_keys=True))


def _fingerprint(basis: str, digests: list[str]) -> str | None:
    return None if any(pd.isna(digest) for digest in digests) else _short("\n".join([basis, *digests]))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_unchanged(planned: Planned, last: pd.DataFrame, basis: str, reports: Path, run_utc: str) -> bool:
    """Tell whether the last run of an audit says what this one would: nothing it depends on differs, its report is there.

    `last`: that run's rows of the history's `runs`.
    """
    is_whole = (
        sorted(last["role"]) == sorted(planned.images)
        and last["status"].isin(["read", "unchanged"]).all()
        and (last["judged_until_utc"] >= run_utc[:10]).fillna(value=False).all()
        and (reports / str(last["report"].iloc[0]) / MANIFEST).is_file()
    )
    if not is_whole:
        return False
    digests = [_digest(wanted) for wanted in planned.images.values()]
    if any(digest is None for digest in digests):
        return False
    return bool((last["fingerprint"] == _fingerprint(basis, [str(digest) for digest in digests])).all())


def _digest(wanted: Wanted) -> str | None:
    """Return an image's digest, None where only its layers bring it; raise `AuditError` where there is no such image."""
    with tempfile.TemporaryDirectory() as scratch:
        store = scratch if default_place() == NONE else default_place()
        order = Order(
            output="",
            store=store,
            made_by="",
            limits=Limits(),
            check_files=False,
            policy=read_policy(),
            today_utc=None,
            advisories=None,
        )
        seen = look(wanted, order)
    if seen.error is not None:
        raise AuditError(seen.error)
    return seen.digest


def _unchanged(planned: Planned, last: History, run_utc: str) -> Outcome:
    is_failed = bool(last.runs["is_gate_failed"].fillna(value=False).any())
    return Outcome(
        name=planned.name,
        status="gate_failed" if is_failed else "unchanged",
        said="the gate failed, as in the run before: nothing has changed since" if is_failed else None,
        report=str(last.runs["report"].iloc[0]),
        records=(repeated_records(last, run_utc=run_utc),),
    )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or "without a word"
    return text if isinstance(error, AuditError) else f"{type(error).__name__}: {text}"
