"""Vectors of words and texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from . import _native
from ._progress import Progress, shown

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

PathLike = Union[str, "os.PathLike[str]"]
#: A text, which is cut into words as everywhere in titlecard, or its words.
Text = Union[str, Iterable[str]]

_DTYPES = {"f32": "<f4", "f16": "<f2", "int8": "i1"}


class WordVectors:
    """Words with a vector each.

    :meth:`open` reads word2vec, GloVe and fastText files and titlecard's own ``.tcwv``; the last, and word2vec binary
    files, are mapped into memory, so that opening takes no time and only what is looked at takes memory.
    """

    def __init__(self, vectors: _native.WordVectors, path: Path | None = None) -> None:
        self._vectors = vectors
        self._matrix: Any = None
        self._mapped: tuple[Any, Any] | None = None
        if path is not None and vectors.stored is not None:
            # Mapped at once: a file that is replaced later leaves this one as it was.
            precision, values, scales = vectors.stored
            shape = (len(vectors), vectors.dim)
            stored = np.memmap(path, dtype=_DTYPES[precision], mode="r", offset=values, shape=shape)
            of_rows = None
            if precision == "int8":
                of_rows = np.memmap(path, dtype="<f4", mode="r", offset=scales, shape=(len(vectors),))
            self._mapped = (stored, of_rows)

    @classmethod
    def open(cls, path: PathLike) -> WordVectors:
        """Opens a file of whatever format in the cheapest way it allows."""
        path = Path(path)
        return cls(_native.WordVectors.open(path), path)

    @classmethod
    def sample(cls) -> WordVectors:
        """The small vectors inside the package, trained on the texts of a large catalogue."""
        return cls(_native.WordVectors.sample())

    @classmethod
    def from_arrays(cls, words: Iterable[str], vectors: Any, counts: Iterable[int] | None = None) -> WordVectors:
        """Puts words and vectors ``[n_words, dim]`` together; ``counts``: how often each was seen."""
        matrix = np.asarray(vectors, dtype=np.float32)
        if matrix.ndim != 2:
            raise ValueError(f"found an array of {matrix.ndim} dimensions, expected [n_words, dim]")
        return cls(_native.WordVectors.from_arrays(list(words), matrix, None if counts is None else list(counts)))

    @classmethod
    def train(
        cls,
        texts: Union[PathLike, Iterable[Text]],
        *,
        dim: int = 100,
        window: int = 5,
        negatives: int = 5,
        epochs: int = 5,
        subsample: float = 1e-3,
        learning_rate: float = 0.025,
        min_count: int = 5,
        max_vocab: int | None = None,
        architecture: str = "skip-gram",
        objective: str = "negative-sampling",
        mode: str = "reproducible",
        n_threads: int | None = None,
        random_state: int = 1,
        progress: Progress = None,
    ) -> WordVectors:
        """Trains word2vec.

        - ``texts``: a file with one sentence a line, words between spaces; or texts, cut into words as everywhere in
          titlecard; or lists of words.
        - ``architecture``: ``skip-gram`` or ``cbow``; ``objective``: ``negative-sampling`` or ``hierarchical-softmax``.
        - ``mode``: ``reproducible`` (the same bytes for the same seed) or ``fast`` (``n_threads`` threads without a lock).
        """
        path: Path | None = None
        sentences: list[list[str]] | None = None
        if isinstance(texts, (str, os.PathLike)):
            path = Path(texts)
        else:
            sentences = [_words(text) for text in texts]
        threads = n_threads if n_threads is not None else (os.cpu_count() or 1)
        with shown(progress) as callback:
            return cls(
                _native.train_word_vectors(
                    sentences, path, dim, window, negatives, epochs, subsample, learning_rate, min_count, max_vocab,
                    architecture, objective, mode, threads, _seed(random_state), callback,
                )
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self._vectors)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and word in self._vectors

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __getitem__(self, word: Union[str, list[str]]) -> Floats:
        """The vector of a word ``[dim]``, a read-only view where the file stores 32 bits; of a list ``[n, dim]``.

        ``KeyError`` for a word without a vector.
        """
        if not isinstance(word, str):
            return self._vectors.get_many(list(word))
        if self._mapped is not None and self._mapped[0].dtype == np.float32:
            at = self._vectors.index_of(word)
            if at is not None:
                return np.asarray(self._mapped[0][at])
        return self._vectors.get(word)

    @property
    def dim(self) -> int:
        """Components of a vector."""
        return self._vectors.dim

    @property
    def words(self) -> list[str]:
        """All words, in the order of the file."""
        return self._vectors.words()

    @property
    def counts(self) -> list[int] | None:
        """How often each word was seen in training, if known."""
        return self._vectors.counts()

    @property
    def vectors(self) -> Floats:
        """All vectors, ``[n_words, dim]``: a view of the mapped file where it stores 32 or 16 bits, else one copy, kept."""
        if self._mapped is not None and self._mapped[1] is None:
            return np.asarray(self._mapped[0])
        if self._matrix is None:
            self._matrix = self._vectors.to_array()
            self._matrix.flags.writeable = False
        return self._matrix  # type: ignore[no-any-return]

    @property
    def stored(self) -> tuple[Floats, Floats | None] | None:
        """Of a mapped ``.tcwv`` file: its values as they are stored, and the factor of each row if they are 8-bit."""
        return self._mapped

    def index(self, word: str) -> int:
        """Position of a word; ``KeyError`` if it has no vector."""
        at = self._vectors.index_of(word)
        if at is None:
            raise KeyError(f"the word `{word}` has no vector; check its spelling and case")
        return at

    def nearest(self, word: Union[str, Any], k: int = 10, *, exclude: Iterable[str] = ()) -> list[tuple[str, float]]:
        """The ``k`` words nearest to a word (itself left out) or to a vector, by cosine."""
        left_out = [exclude] if isinstance(exclude, str) else list(exclude)
        if isinstance(word, str):
            left_out.append(word)
            vector = self._vectors.get(word)
        else:
            vector = np.ascontiguousarray(word, dtype=np.float32)
            if vector.ndim != 1:
                raise ValueError(f"found an array of {vector.ndim} dimensions, expected one vector")
        return self._vectors.nearest(vector, k, left_out)

    def most_similar(
        self, positive: Iterable[str] = (), negative: Iterable[str] = (), k: int = 10
    ) -> list[tuple[str, float]]:
        """The words nearest to the mean of ``positive`` words and negated ``negative`` ones, as gensim has it."""
        return self._vectors.combine(_list(positive), _list(negative), k)

    def analogy(self, a: str, b: str, c: str, k: int = 1) -> list[tuple[str, float]]:
        """``a`` is to ``b`` as ``c`` is to the result."""
        return self._vectors.combine([b, c], [a], k)

    def similarity(self, a: str, b: str) -> float:
        """Cosine of two words."""
        return self._vectors.similarity(a, b)

    def doesnt_match(self, words: Iterable[str]) -> str:
        """The word least like the others."""
        return self._vectors.doesnt_match(_list(words))

    def pool(
        self, texts: Iterable[Text], how: str = "mean", *, fit_to: Iterable[Text] | None = None, progress: Progress = False
    ) -> Floats:
        """One vector a text, ``[n_texts, dim]``; zeros where no word is known.

        - ``how``: ``mean``; ``max-abs`` (largest absolute value per component); ``sif`` (frequent words count less, the
          direction all texts share is taken out); ``idf``.
        - ``fit_to``: texts that ``sif`` and ``idf`` take their statistics from; the texts themselves if none.
        """
        if isinstance(texts, str):
            raise TypeError("found one text where a list of texts is expected; write `[text]`")
        fitted = None if fit_to is None else [_words(text) for text in fit_to]
        with shown(progress):
            return self._vectors.pool([_words(text) for text in texts], how, fitted)[0]

    def save(self, path: PathLike, *, precision: str = "f32") -> None:
        """Writes the vectors: ``.bin``, ``.txt`` and ``.vec`` as word2vec, ``.glove`` as GloVe, else ``.tcwv``.

        - ``precision``: of ``.tcwv``: ``f32``, ``f16`` or ``int8``.
        """
        self._vectors.save(Path(path), precision)

    def __repr__(self) -> str:
        return f"<WordVectors: {len(self)} words x {self.dim}>"


class Encoder:
    """A text encoder learned from pairs of texts: a table look-up a word, a weighted sum a text."""

    def __init__(self, encoder: _native.Encoder) -> None:
        self._encoder = encoder

    @classmethod
    def open(cls, path: PathLike) -> Encoder:
        """Opens the encoder of a working folder, or a file ``.tcse``."""
        path = Path(path)
        return cls(_native.Encoder.open(path / "models" / "encoder.tcse" if path.is_dir() else path))

    @property
    def dim(self) -> int:
        """Components of a vector."""
        return self._encoder.dim

    @property
    def dims(self) -> list[int]:
        """Lengths a vector can be cut to."""
        return self._encoder.dims

    def encode(
        self, texts: Iterable[str], *, side: str = "query", dim: int | None = None, progress: Progress = False
    ) -> Floats:
        """One vector of length 1 a text, ``[n_texts, dim]``; zeros where no word is known.

        - ``side``: ``query`` or ``document``: words weigh differently in what is asked and in what is searched.
        - ``dim``: one of :attr:`dims`, for shorter vectors.
        """
        if isinstance(texts, str):
            raise TypeError("found one text where a list of texts is expected; write `[text]`")
        if dim is not None and dim not in self.dims:
            raise ValueError(f"`dim` is {dim}, expected one of {', '.join(map(str, self.dims))}")
        with shown(progress) as callback:
            rows = self._encoder.encode(list(texts), side, callback)
        if dim is None or dim == self.dim:
            return rows
        cut = rows[:, :dim]
        lengths = np.linalg.norm(cut, axis=1, keepdims=True)
        return np.divide(cut, lengths, out=np.zeros_like(cut), where=lengths > 0)

    def __repr__(self) -> str:
        return f"<Encoder: {self.dim} components>"


def _words(text: Text) -> list[str]:
    return _native.tokens(text) if isinstance(text, str) else list(text)


def _list(words: Iterable[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)


def _seed(random_state: int) -> int:
    seed = int(random_state)
    if seed < 0:
        raise ValueError(f"`random_state` is {seed}, expected 0 or a positive number")
    return seed
