"""The language model: trained in seconds on the sample, which shows that it works and not that it knows films."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import titlecard


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[titlecard.Workspace, titlecard.Report]:
    work = titlecard.Workspace(
        tmp_path_factory.mktemp("lm"), settings={"lm.max_steps": 12, "lm.batch_tokens": 512, "lm.samples": 1}
    )
    work.prepare(progress=False)
    return work, work.train_lm(progress=False)


def test_training_lowers_the_loss_and_tells_its_history(trained: tuple[titlecard.Workspace, titlecard.Report]) -> None:
    _, report = trained
    steps = [row for row in report["history"] if row["event"] == "step"]
    assert len(steps) == 12 and steps[-1]["loss"] < steps[0]["loss"]
    evaluations = [row for row in report["history"] if row["event"] == "evaluation"]
    assert report["dev_loss"] == min(row["dev_loss"] for row in evaluations)
    assert "values on" in str(report)


def test_texts_and_titles(trained: tuple[titlecard.Workspace, titlecard.Report]) -> None:
    work, _ = trained
    model = work.language_model()
    text = "a shark scares a beach town"
    assert model.decode(model.encode(text)) == text
    assert model.generate(text, max_new_tokens=4) == model.generate([text, "two"], max_new_tokens=4)[0]
    drawn = [model.generate(text, temperature=1.0, max_new_tokens=8, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(model.beam_search(text, n_beams=3, max_new_tokens=4)) == 3
    titles = model.titles(text, k=4, exact=True)
    known = set(work.films().to_pandas()["title"])
    assert len(titles) == 4
    assert all(row["title"] in known or row["title"].rsplit(" (", 1)[0] in known for row in titles)
    assert [row["score"] for row in titles] == sorted((row["score"] for row in titles), reverse=True)
    # The score of a title is the sum of what its tokens cost, the end token included.
    prompt, completion = model.template
    prompt = prompt.replace("{overview}", text)
    [scores] = model.score(prompt, [completion.replace("{title}", titles[0]["title"])])
    assert scores.dtype == np.float32 and float(scores.sum()) > titles[0]["score"]


def test_what_is_saved_is_what_was_trained(
    trained: tuple[titlecard.Workspace, titlecard.Report], tmp_path: Path
) -> None:
    work, report = trained
    model = work.language_model()
    model.save(tmp_path / "copy")
    saved = json.loads((tmp_path / "copy/config.json").read_text())
    assert saved["architectures"] == ["GPTNeoXForCausalLM"]
    again = work.language_model(tmp_path / "copy")
    assert again.n_parameters == model.n_parameters == report["n_values"]
    assert again.evaluate("dev", progress=False)["loss"] == model.evaluate("dev", progress=False)["loss"]


def test_faults(trained: tuple[titlecard.Workspace, titlecard.Report], tmp_path: Path) -> None:
    work, _ = trained
    model = work.language_model()
    with pytest.raises(FileNotFoundError, match="train_lm"):
        titlecard.Workspace(tmp_path).language_model()
    with pytest.raises(FileNotFoundError):
        work.language_model(tmp_path)
    with pytest.raises(ValueError, match="positions"):
        model.generate("word " * 3000)
    with pytest.raises(ValueError, match="precision"):
        work.language_model(precision="float8")
    with pytest.raises(ValueError, match="temperature"):
        model.generate("a", temperature=-1.0)
    with pytest.raises(TypeError):
        model.generate([1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="dtype"):
        model.save(tmp_path / "x", dtype="float8")
