"""Progress bars: tqdm's where it is installed (they show in Jupyter), plain lines on stderr elsewhere."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Union

#: Called as ``progress(step, done, total, note)``; ``total`` is 0 where it is not known. What it raises stops the work.
ProgressCallback = Callable[[str, int, int, str], Any]

#: ``None``: bars on a terminal or in a notebook. ``True``/``False``: always/never. Or a function of one's own.
Progress = Union[bool, None, ProgressCallback]

#: Seconds between two plain lines where there is no terminal.
_LINE_EVERY = 10.0


@contextmanager
def shown(progress: Progress) -> Iterator[ProgressCallback | None]:
    """What to hand to the engine; bars are closed at the end."""
    if callable(progress):
        yield progress
        return
    if progress is False or (progress is None and not _someone_watches()):
        yield None
        return
    bar = _tqdm_bar() or _Lines()
    try:
        yield bar
    finally:
        bar.close()


def _someone_watches() -> bool:
    return _in_notebook() or bool(getattr(sys.stderr, "isatty", bool)())


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def _tqdm_bar() -> _Bar | None:
    try:
        with warnings.catch_warnings():
            # Without ipywidgets tqdm says so, and draws its bars as text.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return _Bar(tqdm)


class _Bar:
    """One tqdm bar a step."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm
        self._bar: Any = None
        self._step = ""

    def __call__(self, step: str, done: int, total: int, note: str) -> None:
        if self._bar is None or step != self._step:
            self.close()
            self._step = step
            self._bar = self._tqdm(total=total or None, desc=step, leave=False, unit_scale=True)
        if total:
            self._bar.total = total
        self._bar.n = done
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Lines:
    """One line that is written over on a terminal; a line now and then where there is none."""

    def __init__(self) -> None:
        self._terminal = bool(getattr(sys.stderr, "isatty", bool)())
        self._last = time.monotonic()
        self._width = 0

    def __call__(self, step: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if now - self._last < (0.1 if self._terminal else _LINE_EVERY):
            return
        self._last = now
        line = step + (f" {100 * done // total} %" if total else "") + (f", {note}" if note else "")
        if self._terminal:
            sys.stderr.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        if self._terminal and self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
