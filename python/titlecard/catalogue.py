"""The films of a prepared catalogue, as rows, data frames and Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ._native import Films
from ._tables import need

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TEXTS = ("id", "title", "original_title", "overview", "plot", "tags")
_LISTS = ("genres", "keywords", "cast", "directors", "countries", "languages", "companies", "collections")
_NUMBERS = ("year", "votes")
#: In the order of the prepared file.
COLUMNS = (
    "id title original_title year genres keywords overview cast directors countries languages companies collections "
    "plot votes tags"
).split()


class Catalogue(Sequence[dict]):  # type: ignore[type-arg]
    """Films, in the order of the catalogue; ``catalogue[0]`` is a dictionary."""

    def __init__(self, films: Films) -> None:
        self._films = films

    def __len__(self) -> int:
        return len(self._films)

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(at, slice):
            return [self._films.film(one) for one in range(*at.indices(len(self)))]
        n, place = len(self), at.__index__()
        if not -n <= place < n:
            raise IndexError(f"there is no film {place}; the catalogue has {n}")
        return self._films.film(place % n)

    def __repr__(self) -> str:
        return f"<Catalogue: {len(self)} films>"

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of large strings, lists and whole numbers; the memory of the texts is the engine's, not a copy."""
        pa = need("pyarrow", "arrow")
        chosen = _checked(columns)
        return pa.table({name: self._arrow(pa, name) for name in chosen})

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A data frame with one row a film; lists are Python lists."""
        pd = need("pandas", "pandas")
        data: dict[str, Any] = {}
        for name in _checked(columns):
            if name in _NUMBERS:
                values, is_there = self._films.numbers(name)
                data[name] = pd.arrays.IntegerArray(values, ~is_there)
            elif name in _LISTS:
                ends, texts = self._films.lists(name)
                flat = _strings(*texts)
                data[name] = [flat[start:end] for start, end in zip(ends.tolist(), ends.tolist()[1:])]
            else:
                data[name] = _strings(*self._films.texts(name))
        return pd.DataFrame(data)

    def _arrow(self, pa: Any, name: str) -> Any:
        if name in _NUMBERS:
            values, is_there = self._films.numbers(name)
            return pa.array(values, mask=~is_there)
        if name in _LISTS:
            ends, texts = self._films.lists(name)
            return pa.LargeListArray.from_arrays(pa.array(ends), _arrow_strings(pa, *texts))
        return _arrow_strings(pa, *self._films.texts(name))


def _checked(columns: Sequence[str] | None) -> Sequence[str]:
    if isinstance(columns, str):
        columns = [columns]
    for name in columns or ():
        if name not in COLUMNS:
            raise ValueError(f"films have no column `{name}`; they have {', '.join(COLUMNS)}")
    return COLUMNS if columns is None else columns


def _arrow_strings(pa: Any, offsets: np.ndarray, data: np.ndarray, is_there: np.ndarray) -> Any:  # type: ignore[type-arg]
    validity = None if is_there.all() else pa.py_buffer(np.packbits(is_there, bitorder="little"))
    return pa.LargeStringArray.from_buffers(len(is_there), pa.py_buffer(offsets), pa.py_buffer(data), validity)


def _strings(offsets: np.ndarray, data: np.ndarray, is_there: np.ndarray) -> list[str | None]:  # type: ignore[type-arg]
    whole = data.tobytes()
    places = offsets.tolist()
    return [
        whole[start:end].decode() if there else None
        for start, end, there in zip(places, places[1:], is_there.tolist())
    ]
