"""The errors that a caller may meet: one base, one child for each thing that can be wrong."""

from __future__ import annotations


class AuditError(Exception):
    """Something about the input is wrong; the message says what, where and what was expected.

    Every error that this library raises on purpose is one of these, so a caller
    who wants "any fault of the input" catches this and nothing else. The command
    line prints the message as one line and exits with 2.
    """


class UnknownImageError(AuditError):
    """A reference does not name an image: unknown scheme, nothing there, ambiguous."""


class SourceError(AuditError):
    """The place an image comes from cannot be reached or does not have it."""


class ImageFormatError(AuditError):
    """An image, a manifest or a layer is not what its format says it must be."""


class DigestError(ImageFormatError):
    """Bytes do not have the digest that was promised; holds both."""

    def __init__(self, what: str, *, expected: str, found: str) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class LimitError(ImageFormatError):
    """An image asks for more than the limits allow (see `audit_lib.scan.Limits`)."""


class DamagedDatabaseError(AuditError):
    """A package database is there and cannot be read.

    `path` is its path inside the image, `line` the line (from 1) or None where
    the format has no lines, `problem` what was found and what was expected.
    """

    def __init__(self, path: str, line: int | None, problem: str) -> None:
        place = f"/{path.lstrip('/')}" + (f", line {line}" if line is not None else "")
        super().__init__(f"{place}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


class SbomError(AuditError):
    """An SBOM document that a reference names cannot be read, or is not what its notation says it must be."""


class ReportError(AuditError):
    """A scanner's report or a VEX document that was named cannot be read, or is none; the message says which and why."""


class SettingsError(AuditError):
    """A file of settings, such as a policy, is not what its schema says; the message names file, line and what was expected."""


class TableError(AuditError):
    """A table does not have the columns, types, values or keys of its row class."""


class UnknownParameterError(AuditError):
    """A report was asked for with a parameter that its notebook does not have."""
