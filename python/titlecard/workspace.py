"""From a catalogue to an index: the steps of the program, over a working folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Union

from . import _native
from ._progress import Progress, shown
from ._tables import Report, Rows
from .catalogue import Catalogue
from .graph import Graph
from .lm import LanguageModel
from .retrieval import Retriever
from .vectors import Encoder, WordVectors

PathLike = Union[str, "os.PathLike[str]"]
#: Files of JSON lines, or a data frame ``[qid, query, docno]`` (and ``split``); of the sample if ``None``.
Queries = Any


class Workspace:
    """A working folder: settings, catalogue, models, index; the same files the program ``titlecard`` reads and writes.

    >>> work = titlecard.Workspace("mine")
    >>> work.prepare("movies.csv")
    >>> work.train_word_vectors(); work.train_regressor(); work.build_index()
    >>> work.open().search("a film you half remember")

    - ``settings``: as in ``titlecard.toml`` (``{"regressor.epochs": 5}``); they win over file and environment.

    Every step takes ``progress``: ``None`` shows bars on a terminal and in notebooks, ``True`` and ``False`` always and
    never, a function is called as ``progress(step, done, total, note)``. Ctrl-C stops a step; what it had not finished
    is not saved.
    """

    def __init__(self, folder: PathLike, *, settings: Mapping[str, Any] | None = None) -> None:
        given = [(key, _toml(value)) for key, value in (settings or {}).items()]
        self._workspace = _native.Workspace(Path(folder), given)

    @property
    def folder(self) -> Path:
        """The folder."""
        return Path(self._workspace.folder)

    @property
    def paths(self) -> dict[str, Path]:
        """Files of the folder by name, whether they are there or not."""
        return {name: Path(path) for name, path in self._workspace.paths().items()}

    def settings(self) -> Rows:
        """Every setting with its value and where it came from."""
        return Rows(
            {"setting": key, "value": value, "from": origin} for key, value, origin in self._workspace.settings()
        )

    def prepare(
        self,
        source: PathLike | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        join: Iterable[PathLike] = (),
        progress: Progress = None,
    ) -> Report:
        """Reads and cleans a catalogue (CSV, TSV, JSON lines; plain, .gz, .zst); without ``source`` the sample.

        - ``columns``: our field to your column, where it is not found by itself: ``{"title": "Name"}``.
        - ``join``: files with plots, votes, languages and years by film id.
        """
        with shown(progress) as callback:
            text, data = self._workspace.prepare(
                None if source is None else os.fspath(source),
                dict(columns or {}),
                [os.fspath(path) for path in ([join] if isinstance(join, (str, os.PathLike)) else join)],
                callback,
            )
        return Report(text, data)

    def films(self) -> Catalogue:
        """The films of the prepared catalogue."""
        return Catalogue(self._workspace.films())

    def train_word_vectors(self, *, progress: Progress = None) -> Report:
        """Trains word2vec on the catalogue (settings ``vectors.*``)."""
        with shown(progress) as callback:
            n_words, dim, n_tokens, seconds, path = self._workspace.train_word_vectors(callback)
        text = f"{n_words} words x {dim} from {n_tokens} words of text in {seconds:.1f} s: '{path}'"
        return Report(
            text, {"n_words": n_words, "dim": dim, "n_tokens": n_tokens, "seconds": seconds, "path": Path(path)}
        )

    def train_regressor(self, name: str = "default", *, resume: bool = False, progress: Progress = None) -> Report:
        """Trains the net that predicts a title's vector (settings ``regressor.*``); ``history`` has every epoch."""
        with shown(progress) as callback:
            n_films, history, seconds, path = self._workspace.train_regressor(name, resume, callback)
        rows = Rows({"epoch": epoch, "train_loss": train, "dev_loss": dev} for epoch, train, dev in history)
        text = f"{n_films} films, {len(rows)} epochs in {seconds:.1f} s: '{path}'"
        return Report(text, {"n_films": n_films, "history": rows, "seconds": seconds, "path": Path(path)})

    def train_encoder(
        self,
        queries: Queries = None,
        *,
        texts: PathLike | None = None,
        start: PathLike | None = None,
        folds: int = 0,
        epochs: int = 1,
        progress: Progress = None,
    ) -> Report:
        """Trains the contrastive text encoder on films and the training questions.

        - ``texts``: JSON lines with more texts about films; ``start``: word vectors to start from.
        - ``folds``: encoders trained besides, each without a part of the films, for honest weights and rules.
        """
        with shown(progress) as callback:
            data = self._workspace.train_encoder(
                _queries(queries),
                None if texts is None else Path(texts),
                None if start is None else Path(start),
                folds,
                epochs,
                callback,
            )
        text = f"{data['n_pairs']} pairs ({data['n_questions']} questions) of {data['n_films']} films: '{data['path']}'"
        return Report(text, data)

    def build_graph(self, *, progress: Progress = None) -> Report:
        """Builds the knowledge graph (settings ``graph.*``)."""
        with shown(progress) as callback:
            data = self._workspace.build_graph(callback)
        return Report(json.dumps(data, indent=1), data)

    def build_index(self, *, progress: Progress = None) -> Report:
        """Builds text index, film vectors and title vectors, and makes them current in one step."""
        with shown(progress) as callback:
            n_films = self._workspace.build_index(callback)
        return Report(f"indexed {n_films} films", {"n_films": n_films})

    def tune(self, queries: Queries = None, *, progress: Progress = None) -> Report:
        """Tunes the weights of the first stage on training queries."""
        with shown(progress) as callback:
            n_queries, before, after, path = self._workspace.tune(_queries(queries), callback)
        text = f"tuned on {n_queries} queries, MRR among candidates {before:.4f} -> {after:.4f}: '{path}'"
        return Report(text, {"n_queries": n_queries, "mrr_before": before, "mrr_after": after, "path": Path(path)})

    def train_ranker(self, queries: Queries = None, *, progress: Progress = None) -> Report:
        """Learns the rules that rank from training queries (settings ``ranker.*``); needs the graph."""
        with shown(progress) as callback:
            n_rules, n_literals, n_questions, curve = self._workspace.train_ranker(_queries(queries), callback)
        text = f"{n_rules} rules of {n_literals} literals in all, from {n_questions} questions"
        rows = Rows({"n_rules": n, "loss": loss} for n, loss in curve)
        return Report(
            text, {"n_rules": n_rules, "n_literals": n_literals, "n_questions": n_questions, "curve": rows}
        )

    def train_lm(self, *, resume: bool = False, progress: Progress = None) -> Report:
        """Trains a language model on the films (settings ``lm.*``), from scratch or from ``lm.model``, whole or as an adapter.

        ``history`` has every step, evaluation and sample. Ctrl-C keeps the steps done: ``resume=True`` goes on and ends with
        the same bytes as a training that was not stopped.
        """
        with shown(progress) as callback:
            history, seconds, path, (n_trained, n_values), (n_train, n_dev) = self._workspace.train_lm(resume, callback)
        best = min((row["dev_loss"] for row in history if row["event"] == "evaluation"), default=None)
        text = f"{n_trained} of {n_values} values on {n_train} examples in {seconds:.1f} s"
        if best is not None:
            text += f", best development loss {best:.4f}"
        data = {
            "history": Rows(history),
            "seconds": seconds,
            "path": Path(path),
            "n_trained": n_trained,
            "n_values": n_values,
            "n_train": n_train,
            "n_dev": n_dev,
            "dev_loss": best,
        }
        return Report(f"{text}: '{path}'", data)

    def language_model(
        self, model: PathLike | None = None, *, precision: str = "float32", progress: Progress = None
    ) -> LanguageModel:
        """Opens the language model trained here, that of another folder, or one of a hub by its name.

        - ``precision``: ``float32``, or ``bfloat16`` and ``int8`` to read a half or a quarter of the memory a token.
        """
        with shown(progress) as callback:
            name = None if model is None else os.fspath(model)
            return LanguageModel(_native.LanguageModel.open(self._workspace, name, precision, callback))

    def evaluate(self, queries: Queries = None, *, part: str = "held-out", progress: Progress = None) -> Report:
        """Every method on the queries of a part (``held-out``, ``train``, ``dev``, ``test``, ``all``), side by side.

        ``methods`` has one entry a method: its figures, and the rank of the film sought for every query.
        """
        with shown(progress) as callback:
            return Report(*self._workspace.evaluate(_queries(queries), part, callback))

    def open(self) -> Retriever:
        """Opens the index."""
        return Retriever(self._workspace.open(), str(self.folder))

    def graph(self) -> Graph:
        """Opens the knowledge graph."""
        return Graph.open(self.paths["graph"])

    def word_vectors(self) -> WordVectors:
        """Opens the word vectors trained here."""
        return WordVectors.open(self.paths["vectors"])

    def encoder(self) -> Encoder:
        """Opens the text encoder trained here."""
        return Encoder.open(self.paths["encoder"])

    @staticmethod
    def sample_queries() -> Rows:
        """The questions of the sample: ``qid``, ``query``, ``docno`` (the film sought), ``split``."""
        return Rows(
            {"qid": qid, "query": text, "docno": film, "split": split}
            for qid, text, film, split in _native.Workspace.sample_queries()
        )

    def __repr__(self) -> str:
        return f"Workspace('{self.folder}')"


def demo(
    folder: PathLike = "titlecard-demo", *, settings: Mapping[str, Any] | None = None, progress: Progress = None
) -> Retriever:
    """The whole path on the 414 films inside the package, in seconds: prepare, train, graph, index, tune, rules."""
    work = Workspace(folder, settings=settings)
    with shown(progress) as callback:
        shows: Progress = callback if callback is not None else False
        work.prepare(progress=shows)
        work.train_regressor(progress=shows)
        work.build_graph(progress=shows)
        work.build_index(progress=shows)
        work.tune(progress=shows)
    work._workspace.use_sample_rules()
    return work.open()


def _toml(value: Any) -> str:
    """A setting in the notation of ``titlecard.toml``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, (str, os.PathLike)):
        return json.dumps(os.fspath(value))
    return repr(value.item() if hasattr(value, "item") else value)


def _queries(queries: Queries) -> Any:
    if queries is None:
        return None
    if isinstance(queries, (str, os.PathLike)):
        return [Path(queries)]
    rows = queries.to_dict("records") if hasattr(queries, "to_dict") else list(queries)
    if all(isinstance(row, (str, os.PathLike)) for row in rows):
        return [Path(row) for row in rows]
    found = []
    for row in rows:
        missing = [name for name in ("qid", "query", "docno") if name not in row]
        if missing:
            raise ValueError(
                f"the queries have no column `{missing[0]}` (found: {', '.join(map(str, row))}); "
                "they need qid, query and docno, the film sought"
            )
        split = row.get("split")
        found.append((str(row["qid"]), str(row["query"]), str(row["docno"]), split if isinstance(split, str) and split else None))
    return found
