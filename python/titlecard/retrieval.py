"""Search: from a description to films, each with its reasons."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Union, overload

import numpy as np

from . import _native
from ._native import Hit
from ._progress import Progress, shown
from ._tables import Rows, need

if TYPE_CHECKING:
    import pandas as pd

Path = Union[str, "os.PathLike[str]"]

#: Rules shown for a film unless all are asked for.
_MAIN_RULES = 3


def open(folder: Path, *, settings: Mapping[str, Any] | None = None) -> Retriever:
    """Opens the index of a working folder.

    - ``settings``: as in ``titlecard.toml``, such as ``{"search.year": 2024}``; they win over the file.

    Raises ``FileNotFoundError`` if there is no index yet; the message says what makes it.
    """
    from .workspace import Workspace

    return Workspace(folder, settings=settings).open()


class Retriever:
    """An opened index; made by :func:`titlecard.open`. It may be used from several threads at once."""

    def __init__(self, engine: _native.Engine, folder: str) -> None:
        self._engine = engine
        self.folder = folder

    def search(self, text: str, k: int = 5, *, explain: bool = False) -> Answer:
        """The ``k`` films that fit a description best.

        - ``explain``: print and show every rule and score, not just the weightiest.

        Raises :class:`titlecard.NoAnswer` where no film answers: no words, no known word, nothing passes the filters.
        """
        hits, understood, latency_ms = self._engine.search(_text(text), _count(k))
        return Answer(text, hits, understood, latency_ms, explain)

    def rank(self, texts: Iterable[str], k: int = 1000, *, progress: Progress = False) -> list[tuple[list[str], Any]]:
        """Long rankings of many descriptions: for each the ids and the scores (an array), best first.

        A description no film answers gets an empty ranking.
        """
        with shown(progress) as callback:
            return self._engine.rank_many([_text(text) for text in _texts(texts)], _count(k), callback)

    def compare(self, text: str, first: int = 1, second: int = 2) -> dict[str, Any]:
        """Why the film in place ``first`` of the answer stands above that in place ``second``, and what would turn them."""
        return self._engine.compare(_text(text), first, second)

    def similar(self, film: str, k: int = 5) -> Rows:
        """The films most like a film (id, or title; a year in brackets chooses), with what they share."""
        return Rows(self._engine.similar(str(film), _count(k)))

    def find(self, title: str, k: int = 5) -> Rows:
        """Films by title, with slips of the keys."""
        return Rows(self._engine.find(_text(title), _count(k)))

    def film(self, id: str) -> dict[str, Any]:
        """A film by its id; ``KeyError`` if there is none."""
        return self._engine.film(str(id))

    def understand(self, text: str) -> list[str]:
        """What a description says, a line each; empty without a graph."""
        return self._engine.understand(_text(text))

    def encode(self, texts: Iterable[str]) -> np.ndarray | None:  # type: ignore[type-arg]
        """Vectors of descriptions by the text encoder of the index, ``[n, dim]``; ``None`` if it has none."""
        return self._engine.encode([_text(text) for text in _texts(texts)])

    @property
    def rules(self) -> _native.RuleList | None:
        """The rules that rank, if there are any."""
        return self._engine.rules()

    def rules_in_words(self) -> Rows:
        """The rules that rank, in plain words."""
        rules = self._engine.rules()
        if rules is None:
            return Rows()
        return Rows(
            {"rule": at + 1, "weight": row[3][0] if row[3] else None, "support": row[4], "says": "; ".join(words)}
            for at, (row, words) in enumerate(zip(rules.rows(), self._engine.rule_words()))
        )

    def transformer(self, k: int = 1000) -> Any:
        """The retriever as a PyTerrier transformer: a :class:`Transformer`, and PyTerrier's own where it is installed."""
        return _transformer_class()(self, k)

    def __len__(self) -> int:
        return self._engine.n_films

    def __repr__(self) -> str:
        return f"<Retriever: {len(self)} films in '{self.folder}'>"


def _text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a description is a text, found {type(text).__name__}")
    return text


def _texts(texts: Iterable[str]) -> Iterable[str]:
    if isinstance(texts, str):
        raise TypeError("found one text where a list of texts is expected; write `[text]`")
    return texts


def _count(k: int) -> int:
    if isinstance(k, bool) or k != int(k) or k < 1:
        raise ValueError(f"`k` is {k!r}, expected a whole number from 1 on")
    return int(k)


class Answer(Sequence[Hit]):
    """Films for a description, best first: ``answer[0].title``, ``.year``, ``.score``, ``.reasons``, ``.parts``, ``.film``."""

    def __init__(self, query: str, hits: list[Hit], understood: list[str], latency_ms: float, explain: bool) -> None:
        self.query = query
        #: What was understood of the description, a line each.
        self.understood = understood
        #: Time the search took, without the way to Python.
        self.latency_ms = latency_ms
        self._hits = hits
        self._explain = explain

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> list[Hit]: ...
    def __getitem__(self, at: int | slice) -> Hit | list[Hit]:
        return self._hits[at]

    def to_pandas(self) -> pd.DataFrame:
        """A row a film: rank, docno, title, year, score, and the main reasons."""
        rows = (
            {
                "rank": hit.rank,
                "docno": hit.id,
                "title": hit.title,
                "year": hit.year,
                "score": hit.score,
                "reasons": "; ".join(_sum_of(hit, self._explain)),
            }
            for hit in self._hits
        )
        frame = need("pandas", "pandas").DataFrame(list(rows))
        return frame.astype({"year": "Int64"}) if len(frame) else frame

    def __str__(self) -> str:
        lines = [f"understood: {line}" for line in self.understood] if self._explain else []
        for hit in self._hits:
            lines.append(f"{hit.rank:>3}. {_name(hit)}")
            lines.append(f"     score {hit.score:.3f}, the sum of")
            lines += [f"       {line}" for line in _sum_of(hit, self._explain)]
            words = _words(hit)
            if words:
                lines.append(f"     words: {', '.join(words)}")
        return "\n".join(lines) or "no film"

    def __repr__(self) -> str:
        return f"<Answer: {', '.join(_name(hit) for hit in self._hits)}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{hit.rank}</td><td><b>{escape(hit.title)}</b> ({hit.year or '?'})</td><td>{hit.score:.3f}</td>"
            f"<td style='text-align:left'>{'<br>'.join(escape(line) for line in _sum_of(hit, self._explain))}</td></tr>"
            for hit in self._hits
        )
        head = "<tr><th></th><th>film</th><th>score</th><th style='text-align:left'>the sum of</th></tr>"
        return f"<table>{head}{rows}</table>"


def _name(hit: Hit) -> str:
    return hit.title if hit.year is None else f"{hit.title} ({hit.year})"


def _words(hit: Hit) -> list[str]:
    return list(dict.fromkeys(match["word"] for match in hit.matches))


def _sum_of(hit: Hit, every: bool) -> list[str]:
    """What a score is the sum of, a line a term."""
    reasons = hit.reasons
    if reasons is None:
        return [f"{part['contribution']:+.3f}  {part['name']}" for part in hit.parts if part["contribution"] != 0]
    scores, rules = reasons["scores"], reasons["rules"]
    if every:
        lines = [f"{one['contribution']:+.4f}  {one['name']} {one['value']:.3f} x {one['weight']:.4f}" for one in scores]
        for rule in rules:
            lines.append(f"{rule['weight']:+.4f}  rule {rule['rule']}: {rule['text']}")
            lines += [
                f"           {seen['fact']}: " + (f'"{seen["said"]}"' if seen["said"] else "the question") + f" / {seen['film']}"
                for seen in rule["evidence"]
            ]
        return lines + ([f"{reasons['bias']:+.4f}  constant"] if reasons["bias"] else [])
    lines = [f"{sum(one['contribution'] for one in scores):+.3f}  scores"]
    lines += [f"{rule['weight']:+.3f}  {rule['text']}" for rule in rules[:_MAIN_RULES]]
    rest = rules[_MAIN_RULES:]
    if rest:
        lines.append(f"{sum(rule['weight'] for rule in rest):+.3f}  {len(rest)} more rules")
    return lines


class Transformer:
    """A retriever after PyTerrier's contract: ``[qid, query]`` in, ``[qid, query, docno, score, rank]`` out.

    ``transformer >> other`` composes with anything that has ``transform`` or can be called with a data frame.
    Where PyTerrier is installed, :meth:`Retriever.transformer` gives an object that is also a ``pyterrier.Transformer``,
    with all its operators.
    """

    def __init__(self, retriever: Retriever, k: int = 1000) -> None:
        self.retriever = retriever
        self.k = _count(k)

    def transform(self, queries: Any) -> Any:
        """Ranks films for every row; a query that no film answers gets no row. Ranks begin at 0."""
        pd = need("pandas", "pandas")
        for name in ("qid", "query"):
            if name not in queries.columns:
                found = ", ".join(map(str, queries.columns))
                raise ValueError(f"the queries have no column `{name}` (found: {found}); rename it")
        # What an earlier ranking left behind is not a property of the query.
        kept = queries.drop(columns=[name for name in ("docno", "docid", "score", "rank") if name in queries.columns])
        kept = kept.drop_duplicates("qid").reset_index(drop=True)
        rankings = self.retriever.rank([_text(query) for query in kept["query"]], self.k)
        lengths = [len(ids) for ids, _ in rankings]
        answer = kept.loc[np.repeat(np.arange(len(kept)), lengths)].reset_index(drop=True)
        answer["docno"] = pd.Series([docno for ids, _ in rankings for docno in ids], dtype=object, index=answer.index)
        answer["score"] = np.concatenate([scores for _, scores in rankings]) if rankings else np.zeros(0)
        answer["rank"] = np.concatenate([np.arange(n) for n in lengths]) if rankings else np.zeros(0, dtype=int)
        return answer

    def search(self, query: str, qid: str = "1") -> Any:
        """The ranking of one query."""
        return self.transform(need("pandas", "pandas").DataFrame([[qid, query]], columns=["qid", "query"]))

    def __call__(self, queries: Any) -> Any:
        if isinstance(queries, str):
            return self.search(queries)
        if not hasattr(queries, "columns"):
            queries = need("pandas", "pandas").DataFrame(builtins.list(queries), columns=["qid", "query"])
        return self.transform(queries)

    def __rshift__(self, other: Any) -> Any:
        return _Then(self, other)

    def __repr__(self) -> str:
        return f"{self.retriever!r}.transformer({self.k})"


class _Then:
    """One transformer after another."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second

    def transform(self, queries: Any) -> Any:
        between = self.first.transform(queries)
        return self.second.transform(between) if hasattr(self.second, "transform") else self.second(between)

    __call__ = transform

    def __rshift__(self, other: Any) -> Any:
        return _Then(self, other)


def _transformer_class() -> type:
    try:
        from pyterrier import Transformer as Base
    except ImportError:
        return Transformer

    class PyTerrierTransformer(Base):  # type: ignore[misc]
        """:class:`Transformer` as PyTerrier's own, with all its operators."""

        def __init__(self, retriever: Retriever, k: int = 1000) -> None:
            super().__init__()
            self._ranks = Transformer(retriever, k)
            self.retriever, self.k = retriever, self._ranks.k

        def transform(self, queries: Any) -> Any:
            return self._ranks.transform(queries)

        def __repr__(self) -> str:
            return repr(self._ranks)

    return PyTerrierTransformer
