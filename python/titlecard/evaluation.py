"""Figures of a run against relevance judgements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Dict

from ._native import rank_metrics
from ._tables import need

if TYPE_CHECKING:
    import pandas as pd

#: What :func:`evaluate` computes unless told otherwise.
METRICS = ("S@1", "S@5", "S@10", "RR", "nDCG@10", "R@100")


class Evaluation(Dict[str, float]):
    """Means by metric; :attr:`per_query` has the figures of every query."""

    def __init__(self, metrics: Sequence[str], per_query: dict[str, list[float]]) -> None:
        n = len(per_query)
        super().__init__(
            {metric: sum(row[at] for row in per_query.values()) / n for at, metric in enumerate(metrics)}
        )
        self.per_query = {qid: dict(zip(metrics, row)) for qid, row in per_query.items()}

    @property
    def n_queries(self) -> int:
        """Queries the means are over."""
        return len(self.per_query)

    def to_pandas(self) -> pd.DataFrame:
        """Figures of every query, a row each."""
        return need("pandas", "pandas").DataFrame.from_dict(self.per_query, orient="index").rename_axis("qid")

    def __repr__(self) -> str:
        figures = ", ".join(f"{metric} {value:.4f}" for metric, value in self.items())
        return f"<{figures} over {self.n_queries} queries>"


def evaluate(run: Any, qrels: Any, metrics: Iterable[str] = METRICS) -> Evaluation:
    """Means of metrics over the queries of ``qrels``; a query without a ranking counts as 0.

    - ``run``: a data frame ``[qid, docno, score]`` (and ``rank``, which then decides the order), or
      ``{qid: [docno, ...]}`` best first, or ``{qid: {docno: score}}``. Equal scores are in the order of the documents'
      names, which is arbitrary but does not change from run to run.
    - ``qrels``: a data frame ``[qid, docno]`` (and ``label``; relevant above 0), or ``{qid: docnos}``, or
      ``{qid: {docno: label}}``.
    - ``metrics``: ``P@k``, ``R@k``, ``S@k`` (success), ``nDCG@k`` (binary), ``RR``.
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    relevant = _qrels(qrels)
    if not relevant:
        raise ValueError("the qrels have no query with a relevant document; check the columns `qid` and `docno`")
    rankings = _run(run)
    return Evaluation(
        names, {qid: rank_metrics(rankings.get(qid, []), documents, names) for qid, documents in relevant.items()}
    )


def _columns(frame: Any, what: str, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns))
        raise ValueError(f"the {what} has no column `{missing[0]}` (found: {found}); rename it")


def _run(run: Any) -> dict[str, list[str]]:
    if hasattr(run, "columns"):
        by_rank = "rank" in run.columns
        _columns(run, "run", ["qid", "docno", "rank" if by_rank else "score"])
        keys = run["rank"] if by_rank else -run["score"].astype(float)
        rows = zip(run["qid"].astype(str), run["docno"].astype(str), keys)
        lists: dict[str, list[tuple[Any, str]]] = {}
        for qid, docno, key in rows:
            lists.setdefault(qid, []).append((key, docno))
        return {qid: [docno for _, docno in sorted(found)] for qid, found in lists.items()}
    rankings = {}
    for qid, found in dict(run).items():
        if isinstance(found, Mapping):
            found = [docno for _, docno in sorted((-float(score), str(docno)) for docno, score in found.items())]
        rankings[str(qid)] = [str(docno) for docno in found]
    return rankings


def _qrels(qrels: Any) -> dict[str, set[str]]:
    relevant: dict[str, set[str]] = {}
    if hasattr(qrels, "columns"):
        _columns(qrels, "qrels", ["qid", "docno"])
        labels = qrels["label"] if "label" in qrels.columns else [1] * len(qrels)
        for qid, docno, label in zip(qrels["qid"].astype(str), qrels["docno"].astype(str), labels):
            if label > 0:
                relevant.setdefault(qid, set()).add(docno)
        return relevant
    for qid, found in dict(qrels).items():
        if isinstance(found, Mapping):
            found = [docno for docno, label in found.items() if label > 0]
        documents = {found} if isinstance(found, str) else {str(docno) for docno in found}
        if documents:
            relevant[str(qid)] = documents
    return relevant
