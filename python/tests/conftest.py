"""One working folder with the sample catalogue for all tests."""

from __future__ import annotations

import os

# scikit-learn runs its checks of array libraries only where this is set, before scipy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

from collections.abc import Iterator
from pathlib import Path

import pytest

import titlecard


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work")
    titlecard.demo(path, progress=False)
    return path


@pytest.fixture(scope="session")
def retriever(folder: Path) -> Iterator[titlecard.Retriever]:
    yield titlecard.open(folder)


@pytest.fixture(scope="session")
def work(folder: Path) -> titlecard.Workspace:
    return titlecard.Workspace(folder)
