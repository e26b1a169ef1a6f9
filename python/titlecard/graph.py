"""The knowledge graph of a catalogue."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Union

from . import _native
from ._tables import Rows

_XSD = "http://www.w3.org/2001/XMLSchema#"
_NUMBERS: dict[str, Any] = {
    _XSD + "integer": int,
    _XSD + "int": int,
    _XSD + "gYear": int,
    _XSD + "decimal": float,
    _XSD + "double": float,
    _XSD + "float": float,
    _XSD + "boolean": lambda text: text in ("true", "1"),
}


class Graph:
    """Films, people, genres, keywords, places and times, and what is a kind of what; asked in SPARQL."""

    def __init__(self, graph: _native.Graph) -> None:
        self._graph = graph

    @classmethod
    def open(cls, path: Union[str, os.PathLike[str]]) -> Graph:
        """Opens the graph of a working folder, or the file ``graph.tcg``."""
        path = Path(path)
        return cls(_native.Graph.open(path / "graph" / "graph.tcg" if path.is_dir() else path))

    @property
    def n_films(self) -> int:
        """Films in it."""
        return self._graph.n_films

    @property
    def n_entities(self) -> int:
        """Everything in it that has a name."""
        return self._graph.n_entities

    def query(self, sparql: str, *, names: bool = True) -> Rows:
        """Answers a SPARQL query; prefixes such as ``tc:``, ``film:``, ``genre:`` need no declaration.

        - ``names``: entities by their names; otherwise by their IRIs.

        >>> graph.query("SELECT ?film WHERE { ?film tc:genre genre:horror } LIMIT 5")
        """
        variables, rows = self._graph.query(sparql)
        return Rows({name: _value(cell, names) for name, cell in zip(variables, row)} for row in rows)

    def draw(self, film: str) -> Svg:
        """A film with all it is linked to, as a picture. ``film``: id or title."""
        return Svg(self._graph.draw(film))

    def __repr__(self) -> str:
        return f"<Graph: {self.n_films} films, {self.n_entities} entities>"


def _value(cell: tuple[str, str, str | None, str | None] | None, names: bool) -> Any:
    if cell is None:
        return None
    kind, value, name, datatype = cell
    if kind == "literal":
        return _NUMBERS.get(datatype or "", str)(value)
    return name if names and name is not None else value


class Svg(str):
    """A picture that shows itself in a notebook."""

    def _repr_svg_(self) -> str:
        return str(self)

    def save(self, path: Union[str, os.PathLike[str]]) -> None:
        """Writes the picture to a file."""
        _native.write_file(Path(path), self.encode())
