"""Describe a film in your own words; get its title, and the rules that put it there.

    >>> import titlecard
    >>> retriever = titlecard.demo("titlecard-demo")
    >>> print(retriever.search("a shark scares a beach town", k=3))

- :func:`demo`, :func:`open`, :class:`Workspace`: from a catalogue to a :class:`Retriever`
- :class:`RRLClassifier`, :class:`RRLRegressor`: scikit-learn estimators whose model is a list of rules
- :class:`WordVectors`, :class:`Encoder`: vectors of words and texts
- :class:`LanguageModel`: a Pythia that answers with text, or with titles that exist
- :class:`Graph`: SPARQL over what is known of the films
- :func:`evaluate`: figures of a ranking

Errors keep the message of the engine: ``FileNotFoundError`` for what does not exist, ``ValueError`` for what cannot be
used (:class:`NoAnswer`: a query no film answers), :class:`Error` for damaged files and failed steps. Ctrl-C stops the
work and raises ``KeyboardInterrupt``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._native import Error, NoAnswer, RuleList, __version__
from ._progress import ProgressCallback
from ._tables import Report, Rows
from .catalogue import Catalogue
from .evaluation import Evaluation, evaluate
from .graph import Graph
from .lm import LanguageModel
from .retrieval import Answer, Retriever, Transformer, open
from .vectors import Encoder, WordVectors
from .workspace import Workspace, demo

if TYPE_CHECKING:
    from .rules import Explanation, RRLClassifier, RRLRegressor

__all__ = [
    "Answer",
    "Catalogue",
    "Encoder",
    "Error",
    "Evaluation",
    "Explanation",
    "Graph",
    "LanguageModel",
    "NoAnswer",
    "ProgressCallback",
    "RRLClassifier",
    "RRLRegressor",
    "Report",
    "Retriever",
    "Rows",
    "RuleList",
    "Transformer",
    "WordVectors",
    "Workspace",
    "__version__",
    "demo",
    "evaluate",
    "open",
]

_WITH_SKLEARN = ("Explanation", "RRLClassifier", "RRLRegressor")


def __getattr__(name: str) -> Any:
    # scikit-learn is optional and takes a second to import: only who asks for an estimator pays.
    if name in _WITH_SKLEARN:
        from . import rules

        return getattr(rules, name)
    raise AttributeError(f"module 'titlecard' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
