"""YAML in which every value knows its line: mappings, lists and text, nothing else.

Built from the parser's events, so that a document from a stranger costs no more than its length: anchors, aliases and tags are
refused, and so is what is nested deeper or longer than settings ever are. What a text means (a number, a day) the reader says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from audit_lib.errors import SettingsError

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 8
_MAX_VALUES = 50_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DAMAGED = (yaml.YAMLError, ValueError)


@dataclass(slots=True)
class Node:
    """A value and the line (from 1) on which it begins: `text` of a scalar, else `items` of a list or `fields` of a mapping.

    `lines`: where the names of a mapping stand.
    """

    line: int
    text: str | None = None
    items: list[Node] | None = None
    fields: dict[str, Node] | None = None
    lines: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """What the value is, as an error message says it."""
        if self.text is not None:
            return repr(self.text if len(self.text) <= 60 else self.text[:60] + "…")  # noqa: PLR2004 - a line of a message
        return "a list" if self.items is not None else "a mapping"


def parse(data: bytes, where: str) -> Node:
    r"""Return the one value of a YAML document.

    >>> parse(b"name: mine\nchecks: [a, b]\n", "policy.yml").fields["checks"].items[1]
    Node(line=2, text='b', items=None, fields=None)

    Raises `SettingsError`, which begins with `where` and the line, for anything that is not such a document.
    """
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{where}: expected a file of at most {MAX_BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{where}, line {line}: expected text in UTF-8") from error
    try:
        return _build(yaml.parse(text, Loader=_LOADER), where)
    except _DAMAGED as error:
        raise SettingsError(_said(error, text, where)) from error


@dataclass(slots=True)
class _Open:
    """A mapping or list that is not closed yet; `key` waits for its value."""

    node: Node
    key: Node | None = None


def _build(events: Iterator[yaml.Event], where: str) -> Node:
    documents: list[Node] = []
    stack: list[_Open] = []
    count = 0
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        if not isinstance(event, yaml.NodeEvent):
            continue
        count += 1
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None or getattr(event, "tag", None) is not None:
            raise SettingsError(f"{where}, line {line}: expected plain YAML, found an anchor, an alias or a tag")
        if len(stack) > _MAX_DEPTH or count > _MAX_VALUES:
            raise SettingsError(
                f"{where}, line {line}: expected no more than {_MAX_DEPTH} levels and {_MAX_VALUES:,} values"
            )
        node = _node(event, line)
        _put(node, stack[-1] if stack else None, documents, where)
        if node.text is None:
            stack.append(_Open(node))
    if len(documents) != 1:
        raise SettingsError(f"{where}: expected one YAML document, found {len(documents)}")
    return documents[0]


def _node(event: yaml.Event, line: int) -> Node:
    if isinstance(event, yaml.ScalarEvent):
        return Node(line, text=event.value)
    return Node(line, items=[]) if isinstance(event, yaml.SequenceStartEvent) else Node(line, fields={})


def _put(node: Node, inside: _Open | None, documents: list[Node], where: str) -> None:
    """Put a value where it belongs: into the list or mapping that is open, or beside the other documents."""
    if inside is None:
        documents.append(node)
    elif inside.node.items is not None:
        inside.node.items.append(node)
    elif inside.key is None:
        if node.text is None:
            raise SettingsError(f"{where}, line {node.line}: expected a name before the colon, found {node.shown}")
        inside.key = node
    else:
        name, fields, lines = str(inside.key.text), inside.node.fields or {}, inside.node.lines
        if name in fields:
            raise SettingsError(f"{where}, line {inside.key.line}: {name!r} stands twice, first on line {lines[name]}")
        fields[name], lines[name], inside.node.fields, inside.key = node, inside.key.line, fields, None


def _said(error: Exception, text: str, where: str) -> str:
    """Return what is wrong with a document, and on which line, in one line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position if isinstance(error.position, int) else 0) + 1
        return f"{where}, line {line}: expected text, found a character that YAML does not allow"
    problem = getattr(error, "problem", None) or str(error)
    return f"{where}{f', line {mark.line + 1}' if mark else ''}: not YAML: {' '.join(problem.split())}"
