"""Language models: text, titles that exist, and how probable a text is."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from . import _native
from ._progress import Progress, shown
from ._tables import Report, Rows

PathLike = Union[str, "os.PathLike[str]"]


class LanguageModel:
    """A Pythia (GPT-NeoX) with its tokenizer; made by :meth:`titlecard.Workspace.language_model`.

    Texts are put into the prompt the model was trained with, unless ``raw`` is set. It may be used from several threads.
    """

    def __init__(self, model: _native.LanguageModel) -> None:
        self._model = model

    @property
    def folder(self) -> Path:
        """Where the model is."""
        return Path(self._model.folder)

    @property
    def n_parameters(self) -> int:
        """Numbers in the model."""
        return self._model.n_parameters

    @property
    def has_adapter(self) -> bool:
        """Whether a low-rank adapter is on it."""
        return self._model.has_adapter

    @property
    def config(self) -> dict[str, Any]:
        """``config.json``."""
        return dict(json.loads(self._model.config))

    @property
    def template(self) -> tuple[str, str]:
        """Prompt and completion of an example."""
        return self._model.template

    def encode(self, text: str) -> list[int]:
        """Token numbers of a text."""
        return self._model.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token numbers, without special tokens."""
        return self._model.decode([int(one) for one in ids])

    def generate(
        self,
        texts: str | Iterable[str],
        *,
        max_new_tokens: int = 32,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int = 7,
        raw: bool = False,
    ) -> Any:
        """Continues a text, or several together: a string, or a list of strings.

        The most probable token at every place (``temperature`` 0), or one drawn from those that ``top_k``, ``top_p`` and
        ``min_p`` leave; the same seed gives the same text.
        """
        many = _texts(texts)
        found = self._model.generate(
            many, max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, raw
        )
        return found[0] if isinstance(texts, str) else found

    def beam_search(self, text: str, *, n_beams: int = 5, max_new_tokens: int = 32, raw: bool = False) -> Rows:
        """The best continuations, ``text`` and ``score`` (log-probability a token), best first."""
        found = self._model.beam_search(text, n_beams, max_new_tokens, raw)
        return Rows({"text": text, "score": score} for text, score in found)

    def titles(
        self,
        texts: str | Iterable[str],
        k: int = 5,
        *,
        n_beams: int = 5,
        exact: bool = False,
        progress: Progress = False,
    ) -> Any:
        """The most probable titles of the catalogue for a description: ``title``, ``docno`` (films so called), ``score``.

        - ``exact``: look until no other title can be better, instead of a beam search of ``n_beams``.

        One table, or a list of them for several texts.
        """
        with shown(progress) as callback:
            found = self._model.find_titles(_texts(texts), k, n_beams, exact, callback)
        tables = [
            Rows({"title": title, "docno": films, "score": score} for title, films, score in one) for one in found
        ]
        return tables[0] if isinstance(texts, str) else tables

    def score(self, prompt: str, completions: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Log-probability of every token of each completion after ``prompt``; both are taken as they are."""
        return [np.asarray(one, dtype=np.float32) for one in self._model.score(prompt, _texts(completions))]

    def evaluate(self, part: str = "dev", *, n_films: int = 1000, progress: Progress = None) -> Report:
        """Loss a token and perplexity on films of a part of the catalogue (0 ``n_films`` for all of it)."""
        with shown(progress) as callback:
            loss, n_tokens, n = self._model.evaluate(part, n_films, callback)
        perplexity = math.exp(min(loss, 700.0))
        text = f"{n} films of {part}, {n_tokens} tokens: loss {loss:.4f}, perplexity {perplexity:.2f}"
        return Report(text, {"n_films": n, "n_tokens": n_tokens, "loss": loss, "perplexity": perplexity})

    def save(self, folder: PathLike, *, dtype: str = "float32") -> None:
        """Writes the model, an adapter merged in, in Hugging Face layout: ``float32``, ``float16`` or ``bfloat16``."""
        self._model.save(Path(folder), dtype)

    def __repr__(self) -> str:
        return f"LanguageModel('{self.folder}', {self.n_parameters} parameters)"


def _texts(texts: str | Iterable[str]) -> list[str]:
    many = [texts] if isinstance(texts, str) else list(texts)
    wrong = [one for one in many if not isinstance(one, str)]
    if wrong:
        raise TypeError(f"texts are strings, found {type(wrong[0]).__name__}")
    return many
