"""Reads YAML 1.2 into a tree that knows the line and column of every value and key.

The tree is built from the event stream of ruamel.yaml, because a plain load loses what good messages need: places,
and every duplicate key (not only the first). Plain scalars are resolved by the YAML 1.2 core schema, in which `1e-4`
is a number and `no` is text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from harness.core.errors import Problem
from harness.core.scalars import LEADING_ZERO, NOT_FINITE, Scalar, resolve_scalar
from harness.core.syntax import syntax

Path = tuple[str | int, ...]

MAX_DEPTH = 64
MAX_BYTES = 128 * 1024
"""Of one text, and of a suite with all that it includes. Reading takes some 4 µs a byte; a suite of 20,000 cells has a
few kilobytes, because a matrix multiplies."""
MAX_NODES = 20_000
"""Values of a text, as they stand there and with every alias written out: aliases of aliases can describe more than any
memory holds."""


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Where something stands in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def problem(self, path: Path, what: str, hint: str = "") -> Problem:
        return Problem(self.file, self.line, self.column, dotted(path), what, hint)


@dataclass(slots=True)
class YamlNode:
    """A value and its place. `keys` says where the keys of a mapping stand, `path` the way to it from the root."""

    content: dict[str, YamlNode] | list[YamlNode] | Scalar
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)
    path: Path = ()

    @property
    def plain(self) -> Any:
        """The value without places: dict, tuple and scalars."""
        if isinstance(self.content, dict):
            return {key: item.plain for key, item in self.content.items()}
        if isinstance(self.content, list):
            return tuple(item.plain for item in self.content)
        return self.content

    @property
    def mapping(self) -> dict[str, YamlNode]:
        """The content of a node that is known to be a mapping."""
        assert isinstance(self.content, dict), self.place
        return self.content

    def child(self, step: str | int) -> YamlNode | None:
        """The item of a mapping or list, or None."""
        if isinstance(self.content, dict):
            return self.content.get(str(step))
        if isinstance(self.content, list) and isinstance(step, int) and 0 <= step < len(self.content):
            return self.content[step]
        return None

    def nearest(self, path: Path) -> YamlNode:
        """The node at a path, or the last one on the way to it that exists."""
        node = self
        for step in path:
            found = node.child(step)
            if found is None:
                break
            node = found
        return node

    def problem(self, what: str, hint: str = "", *, key: str | None = None) -> Problem:
        """A mistake in this value, or in the name of one of its keys."""
        if key is None:
            return self.place.problem(self.path, what, hint)
        return self.keys.get(key, self.place).problem((*self.path, key), what, hint)


def dotted(path: Path) -> str:
    """`blocks.0.recipe.steps`: the form that --set takes."""
    return ".".join(map(str, path))


def load(text: str, origin: Place) -> tuple[YamlNode | None, list[Problem]]:
    """Tree of a YAML text that starts at `origin`, and all its mistakes. None when nothing could be read.

    Mistakes of syntax end the reading; duplicate keys, tags, keys that are not text and misleading numbers do not. A
    number that is not finite is NaN in the tree, and always a mistake.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        return None, [origin.problem((), *too_large(size))]
    reader = _Reader(text, origin)
    return reader.read(), reader.problems


def too_large(size: int) -> tuple[str, str]:
    """What is wrong with a text of so many bytes, and what to try."""
    what = f"the file has {size:,} bytes, and a suite at most {MAX_BYTES:,}"
    return what, "write what repeats as a `matrix`, or split it into several suites"


def rooted(node: YamlNode) -> YamlNode:
    """A copy in which every node knows its path. Raises ValueError when aliases make it larger than MAX_NODES."""
    count = 0

    def copy(source: YamlNode, path: Path) -> YamlNode:
        nonlocal count
        count += 1
        if count > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES:,} values")
        content = source.content
        if isinstance(content, dict):
            return YamlNode({k: copy(v, (*path, k)) for k, v in content.items()}, source.place, dict(source.keys), path)
        if isinstance(content, list):
            return YamlNode([copy(item, (*path, i)) for i, item in enumerate(content)], source.place, {}, path)
        return YamlNode(content, source.place, {}, path)

    return copy(node, ())


class _Reader:
    """One pass over the events of one text. Mistakes that leave the rest readable are gathered in `problems`."""

    def __init__(self, text: str, origin: Place) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._origin = origin
        self._anchors: dict[str, YamlNode] = {}
        self._events: Iterator[Event] = iter(())
        self._count = 0

    def read(self) -> YamlNode | None:
        self._events = YAML(typ="safe", pure=True).parse(self._text)
        try:
            return self._document()
        except _TooMuch as error:
            place, what, hint = error.args
            self.problems.append(place.problem((), what, hint))
        except MarkedYAMLError as error:
            self.problems.append(self._syntax_problem(error))
        except (YAMLError, ValueError) as error:  # ruamel: control characters, impossible escapes and directives
            what = " ".join(str(error).split()) or "not YAML"
            self.problems.append(self._origin.problem((), f"cannot be read as YAML: {what}"))
        return None

    def _document(self) -> YamlNode | None:
        root = None
        for event in self._events:
            place = self._place(event)
            if isinstance(event, DocumentStartEvent):
                if event.version and tuple(event.version) != (1, 2):
                    self.problems.append(place.problem((), "suites are YAML 1.2", "remove the %YAML line"))
                if root is not None:
                    self.problems.append(place.problem((), "a second document begins here", "one suite per file"))
                    return root
            elif isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent | AliasEvent):
                root = self._node(event, ())
        return root

    def _place(self, event: Event) -> Place:
        return self._at(event.start_mark.line, event.start_mark.column)

    def _at(self, line: int, column: int) -> Place:
        first = self._origin.column if line == 0 else 1
        return Place(self._origin.file, self._origin.line + line, first + column)

    def _syntax_problem(self, error: MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        place = self._at(mark.line, mark.column) if mark else self._origin
        begun = error.context_mark.line + self._origin.line if error.context_mark else place.line
        return place.problem((), *syntax(str(error.problem or ""), str(error.context or ""), begun, place.line))

    def _until(self, end: type[Event]) -> Iterator[NodeEvent]:
        for event in self._events:
            if isinstance(event, end):
                return
            assert isinstance(event, NodeEvent), event
            yield event

    def _node(self, event: NodeEvent, path: Path) -> YamlNode:
        place = self._place(event)
        self._count += 1
        if len(path) > MAX_DEPTH:
            raise _TooMuch(place, f"nested deeper than {MAX_DEPTH} levels", "a suite needs no more than about ten")
        if self._count > MAX_NODES:
            raise _TooMuch(place, f"more than {MAX_NODES:,} values", "write what repeats as a `matrix`")
        if isinstance(event, AliasEvent):
            if event.anchor in self._anchors:
                return self._anchors[event.anchor]
            self.problems.append(place.problem(path, f"*{event.anchor} refers to nothing that is complete before it"))
            return YamlNode(None, place)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent), event
        if event.tag is not None:
            self.problems.append(place.problem(path, f"the tag {event.tag} has no meaning here", "remove it"))
        if isinstance(event, ScalarEvent):
            node = YamlNode(self._scalar(event, place, path), place)
        elif isinstance(event, SequenceStartEvent):
            items = enumerate(self._until(SequenceEndEvent))
            node = YamlNode([self._node(item, (*path, index)) for index, item in items], place)
        else:
            node = self._mapping(place, path)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _text_of(self, event: ScalarEvent, place: Place, path: Path) -> str:
        text: str = event.value
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            self.problems.append(place.problem(path, "half of a character (a lone surrogate)"))
            return ascii(text)
        return text

    def _scalar(self, event: ScalarEvent, place: Place, path: Path) -> Scalar:
        text = self._text_of(event, place, path)
        if event.style is not None or event.tag is not None:
            return text
        if NOT_FINITE.match(text):
            self.problems.append(place.problem(path, f"{text} is not a finite number"))
            return math.nan
        if LEADING_ZERO.match(text):
            number = int(text)
            self.problems.append(place.problem(path, f"{text} is octal to some readers of YAML", f"write {number}"))
            return number
        value = resolve_scalar(text)
        if isinstance(value, float) and not math.isfinite(value):
            self.problems.append(place.problem(path, f"{text} is too large a number"))
            return math.nan
        return value

    def _mapping(self, place: Place, path: Path) -> YamlNode:
        node = YamlNode({}, place)
        merged: list[tuple[Place, YamlNode]] = []
        events = self._until(MappingEndEvent)
        for event in events:
            at = self._place(event)
            if not isinstance(event, ScalarEvent):
                self._node(event, path)
                self._node(next(events), path)
                self.problems.append(at.problem(path, "a key that is not text", "write a plain name before the colon"))
                continue
            key = self._text_of(event, at, path)
            value = self._node(next(events), (*path, key))
            if key == "<<" and event.style is None:
                merged.append((at, value))
            elif key in node.mapping:
                what = f"the key {key!r} is given twice (first in line {node.keys[key].line})"
                self.problems.append(at.problem((*path, key), what, "remove one"))
            else:
                node.mapping[key], node.keys[key] = value, at
        for at, value in merged:
            self._merge(node, at, value, path)
        return node

    def _merge(self, node: YamlNode, at: Place, value: YamlNode, path: Path) -> None:
        """`<<: *anchor`: keys that the mapping itself lacks."""
        for source in value.content if isinstance(value.content, list) else [value]:
            if not isinstance(source.content, dict):
                self.problems.append(at.problem((*path, "<<"), "only a mapping can be merged"))
                continue
            for key, item in source.content.items():
                if key not in node.mapping:
                    node.mapping[key], node.keys[key] = item, source.keys[key]


class _TooMuch(Exception):
    """Arguments: the place, what is wrong, what to try."""
