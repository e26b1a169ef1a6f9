"""Word vectors and the text encoder."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import titlecard
from titlecard import Encoder, WordVectors

SENTENCES = ["the red boat on the sea", "a red ship on the sea", "the judge in the court", "a judge and a court"] * 20


@pytest.fixture(scope="module")
def trained() -> WordVectors:
    return WordVectors.train(SENTENCES, dim=16, epochs=3, min_count=1, progress=False)


def test_training_is_reproducible(trained: WordVectors) -> None:
    again = WordVectors.train([text.split() for text in SENTENCES], dim=16, epochs=3, min_count=1, progress=False)
    assert again.words == trained.words and (again.vectors == trained.vectors).all()
    assert trained.counts is not None and trained.counts[0] == max(trained.counts)
    other = WordVectors.train(SENTENCES, dim=16, epochs=3, min_count=1, random_state=2, progress=False)
    assert (other.vectors != trained.vectors).any()


def test_training_from_a_file(trained: WordVectors, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(SENTENCES))
    assert (WordVectors.train(path, dim=16, epochs=3, min_count=1, progress=False).vectors == trained.vectors).all()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        WordVectors.train(tmp_path / "nowhere.txt", progress=False)
    with pytest.raises(ValueError, match="occur at least 5 times"):
        WordVectors.train(["a b c"], progress=False)
    with pytest.raises(ValueError, match="`dim` is 0"):
        WordVectors.train(SENTENCES, dim=0, progress=False)
    with pytest.raises(ValueError, match="the mode `quick` is unknown"):
        WordVectors.train(SENTENCES, mode="quick", progress=False)


def test_look_up(trained: WordVectors) -> None:
    assert "sea" in trained and "nowhere" not in trained and 3 not in trained
    assert trained["sea"].shape == (16,) and trained[["sea", "boat"]].shape == (2, 16)
    assert (trained.vectors[trained.index("sea")] == trained["sea"]).all()
    assert list(trained) == trained.words and len(trained) == len(trained.words)
    with pytest.raises(KeyError, match="the word `nowhere` has no vector"):
        trained["nowhere"]
    with pytest.raises(KeyError, match="has no vector"):
        trained.index("nowhere")
    with pytest.raises(ValueError, match="read-only"):
        trained.vectors[0, 0] = 1


def test_neighbours(trained: WordVectors) -> None:
    words = [word for word, _ in trained.nearest("boat", k=3)]
    assert len(words) == 3 and "boat" not in words
    cosines = trained.vectors @ trained["boat"]
    cosines /= np.linalg.norm(trained.vectors, axis=1) * np.linalg.norm(trained["boat"])
    by_hand = [trained.words[at] for at in np.argsort(-cosines) if trained.words[at] != "boat"][:3]
    assert words == by_hand
    assert trained.nearest(trained["boat"], k=1)[0][0] == "boat"
    assert trained.similarity("boat", "boat") == pytest.approx(1)
    assert len(trained.most_similar(["boat", "sea"], ["court"], k=2)) == 2
    assert trained.analogy("boat", "sea", "judge")[0][0] not in ("boat", "sea", "judge")
    assert trained.doesnt_match(["boat", "ship", "court"]) in ("boat", "ship", "court")
    with pytest.raises(ValueError, match="2 words given, at least 3"):
        trained.doesnt_match(["boat", "ship"])
    with pytest.raises(ValueError, match="found a vector of 3 components"):
        trained.nearest(np.zeros(3))
    with pytest.raises(KeyError, match="nowhere"):
        trained.most_similar(["nowhere"])


def test_pooling(trained: WordVectors) -> None:
    pooled = trained.pool(["the red boat", ["judge", "unknown"], "unknown words"])
    by_hand = (trained["the"] + trained["red"] + trained["boat"]) / 3
    assert np.allclose(pooled[0], by_hand, atol=1e-6)
    assert (pooled[1] == trained["judge"]).all() and not pooled[2].any()
    largest = trained.pool(["red boat"], "max-abs")[0]
    assert np.allclose(largest, np.abs(trained[["red", "boat"]]).max(axis=0))
    assert trained.pool(SENTENCES[:4], "sif").shape == (4, 16)
    assert trained.pool(["boat"], "idf", fit_to=SENTENCES).shape == (1, 16)
    assert trained.pool([]).shape == (0, 16)
    with pytest.raises(ValueError, match="the pooling `median` is unknown"):
        trained.pool(["boat"], "median")
    with pytest.raises(TypeError, match="one text where a list"):
        trained.pool("boat")


@pytest.mark.parametrize("name", ["v.tcwv", "v.bin", "v.txt", "v.glove"])
def test_files_of_every_format(trained: WordVectors, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    trained.save(path)
    again = WordVectors.open(path)
    assert again.words == trained.words and (again.vectors == trained.vectors).all()
    assert (again["sea"] == trained["sea"]).all()


def test_mapped_files_are_views(trained: WordVectors, tmp_path: Path) -> None:
    path = tmp_path / "v.tcwv"
    trained.save(path)
    mapped = WordVectors.open(path)
    assert mapped.stored is not None and isinstance(mapped.stored[0], np.memmap)
    assert np.shares_memory(mapped.vectors, mapped.stored[0]) and np.shares_memory(mapped["sea"], mapped.vectors)
    trained.save(path, precision="f16")
    halves = WordVectors.open(path)
    assert halves.vectors.dtype == np.float16 and np.allclose(halves.vectors, trained.vectors, atol=1e-3)
    # The first one is still what it was: files are replaced, not written over.
    assert (mapped.vectors == trained.vectors).all()
    trained.save(path, precision="int8")
    bytes_ = WordVectors.open(path)
    values, factors = bytes_.stored  # type: ignore[misc]
    assert values.dtype == np.int8 and factors is not None
    assert np.allclose(values * factors[:, None], bytes_.vectors) and np.allclose(bytes_.vectors, trained.vectors, atol=0.01)
    with pytest.raises(ValueError, match="the precision `f8` is unknown"):
        trained.save(path, precision="f8")


def test_the_vectors_inside() -> None:
    sample = WordVectors.sample()
    assert len(sample) > 5000 and "police" in sample
    assert {"cop", "officer", "detective", "cops", "policeman", "detectives"} & {w for w, _ in sample.nearest("police", k=10)}


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        WordVectors.open(tmp_path / "nowhere.bin")
    bad = tmp_path / "bad.txt"
    bad.write_text("red 1 2\nboat 1\n")
    with pytest.raises(titlecard.Error, match="row 2"):
        WordVectors.open(bad)
    with pytest.raises(ValueError, match="the word `a` occurs twice"):
        WordVectors.from_arrays(["a", "a"], np.zeros((2, 2)))
    with pytest.raises(ValueError, match="found 1 vectors for 2 words"):
        WordVectors.from_arrays(["a", "b"], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="expected \\[n_words, dim\\]"):
        WordVectors.from_arrays(["a"], [1.0, 2.0])
    made = WordVectors.from_arrays(["a", "b"], [[1, 0], [0, 1]], counts=[5, 3])
    assert made.counts == [5, 3] and made["a"].dtype == np.float32
    with pytest.raises(FileNotFoundError, match="encoder"):
        Encoder.open(tmp_path)


def test_the_encoder(work: titlecard.Workspace, tmp_path: Path) -> None:
    own = titlecard.Workspace(tmp_path / "encoder")
    own.prepare(progress=False)
    assert own.train_encoder(progress=False)["n_questions"] > 20
    encoder = own.encoder()
    rows = encoder.encode(["a shark scares a beach town", "a shark at the beach", "???"])
    assert rows.shape == (3, encoder.dim) and np.allclose(np.linalg.norm(rows[:2], axis=1), 1, atol=1e-5)
    assert not rows[2].any() and rows[0] @ rows[1] > 0.3
    assert (encoder.encode(["a shark"], side="document") != encoder.encode(["a shark"])).any()
    short = encoder.encode(["a shark"], dim=encoder.dims[0])
    assert short.shape == (1, encoder.dims[0]) and np.linalg.norm(short) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="`dim` is 7"):
        encoder.encode(["a"], dim=7)
    with pytest.raises(ValueError, match="the side `left` is unknown"):
        encoder.encode(["a"], side="left")


def test_threads_read_at_once(trained: WordVectors) -> None:
    expected = trained.nearest("boat", k=3)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(trained.nearest("boat", k=3))) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert found == [expected] * 4
