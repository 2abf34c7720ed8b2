"""Studies side by side: the same folds and test rows, or why not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks_samples import review_rows, save_text_model
from toy_studies import toy_study

import hpsearch as hp
from hpsearch.analysis.significance import paired_folds
from hpsearch.errors import UsageError


def made(place: Path, name: str, trials: int = 3, **settings: Any) -> hp.Result:
    study = toy_study(place / name, **settings)
    return study.run(trials=trials, devices="inline", progress=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[hp.Result]]:
    """Two studies on the same rows and folds, one of other folds, one of another objective; all of one name."""
    place = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPSEARCH_CACHE", str(place / "cache"))
        yield [
            made(place, "grid"),
            made(place, "random", sampler="random", trials=4),
            made(place, "two-folds", cv=2),
            made(place, "accuracy", metric="accuracy", metrics=[]),
        ]


def test_a_row_a_study(results: list[hp.Result]) -> None:
    comparison = hp.compare(results[:2])
    table = comparison.table()
    assert table["study"].tolist() == ["grid/toy", "random/toy"]
    assert table["value"].tolist() == [result.best.value for result in results[:2]]
    assert table["trials"].tolist() == table["complete"].tolist() == [3, 4]
    assert table["test_f1_macro"].tolist() == [result.test_scores()["f1_macro"] for result in results[:2]]
    history = results[0].history
    runs = {run.key for trial in history.trials.values() for run in trial.runs}
    epochs = sum(history.of(key)[-1].epoch for key in runs)
    assert table["epochs"][0] == pytest.approx(epochs)
    assert (table["elapsed_seconds"] > 0).all()


def test_winners_are_tested_on_test_rows_and_on_folds(results: list[hp.Result]) -> None:
    on_test, on_folds = hp.compare(results[:2]).evidence()
    scores = [result.test_scores()["f1_macro"] for result in results[:2]]
    assert on_test.ground == "test rows"
    assert on_test.evidence is not None
    assert on_test.evidence.difference == pytest.approx(scores[1] - scores[0])
    assert on_folds.evidence is not None
    folds = results[0].plan.folds
    expected = paired_folds(
        list(results[1].scores_by_fold().values()),
        list(results[0].scores_by_fold().values()),
        [folds.test_share(index) for index in range(3)],
    )
    assert on_folds.evidence.difference == pytest.approx(expected.difference)
    assert on_folds.evidence.p_value == pytest.approx(expected.p_value) if expected.p_value else True
    assert on_folds.evidence.difference == pytest.approx(results[1].best.value - results[0].best.value)
    assert "Holm" not in on_folds.evidence.method


def test_what_differs_is_not_comparable_and_says_why(results: list[hp.Result]) -> None:
    found = {(each.study, each.ground): each for each in hp.compare(results).evidence()}
    assert found["two-folds/toy", "folds"].why_not == "the folds differ"
    assert found["two-folds/toy", "test rows"].evidence is not None
    assert found["accuracy/toy", "folds"].why_not == "the objectives differ (accuracy and f1_macro)"
    assert found["accuracy/toy", "test rows"].evidence is None
    evidence = found["random/toy", "test rows"].evidence
    assert evidence is not None
    assert "corrected for 2 comparisons (Holm 1979)" in evidence.method


def test_other_data_are_not_comparable(results: list[hp.Result], tmp_path: Path) -> None:
    other = made(tmp_path, "other", trials=1, task={"rows": 90})
    found = {each.ground: each.why_not for each in hp.compare([results[0], other]).evidence()}
    assert found == {"folds": "the training data differ", "test rows": "the test rows differ"}


def test_a_study_that_has_not_ended_is_not_scored_on_test_rows(results: list[hp.Result], tmp_path: Path) -> None:
    stop = [lambda study, trial: study.stop() if trial.number == 0 else None]
    early = made(tmp_path, "early", trials=4, callbacks=stop)
    assert not early.has_ended
    comparison = hp.compare([results[0], early])
    on_test, _ = comparison.evidence()
    assert "has not ended" in str(on_test.why_not)
    assert np.isnan(comparison.table()["test_f1_macro"][1])
    assert not (early.plan.folder / "test").exists()


def test_the_reference_may_be_named_or_the_best(results: list[hp.Result], tmp_path: Path) -> None:
    comparison = hp.compare(results[:2], against="random/toy")
    assert {each.study for each in comparison.evidence()} == {"grid/toy"}
    best = max(results[:2], key=lambda result: result.best.value)
    assert hp.compare(results[:2], against="best").reference == f"{best.plan.folder.parent.name}/toy"
    page = hp.compare(results[:2], against="best").report(tmp_path / "best.html").read_text()
    assert "Read these numbers with care" in page
    assert "Read these numbers with care" not in comparison.report(tmp_path / "named.html").read_text()
    with pytest.raises(UsageError, match=r"'rndom/toy' is not one of the studies .* Did you mean 'random/toy'"):
        hp.compare(results[:2], against="rndom/toy")
    with pytest.raises(UsageError, match="studies of one objective"):
        hp.compare(results, against="best")


def test_what_cannot_be_compared_at_all_is_an_error(results: list[hp.Result]) -> None:
    with pytest.raises(UsageError, match="two or more results, and 1 was given"):
        hp.compare(results[:1])
    with pytest.raises(UsageError, match="is there twice"):
        hp.compare([results[0], results[0]])
    with pytest.raises(UsageError, match=r"Study is not one: give study\.result"):
        hp.compare([results[0], object.__new__(hp.Study)])  # type: ignore[list-item]


def test_the_report_is_one_page(results: list[hp.Result], tmp_path: Path) -> None:
    comparison = hp.compare(results)
    page = comparison.report(tmp_path / "pages" / "compare.html")
    assert [path.name for path in page.parent.iterdir()] == ["compare.html"]
    text = page.read_text()
    assert "not comparable: the folds differ" in text
    assert "<script src=" not in text
    assert len(comparison.figures.best_so_far("compute").data) == 3  # the study of another objective is left out
    assert "against 'grid/toy'" in repr(comparison)


def of_texts(place: Path, name: str, model: Path, table: Path) -> hp.Result:
    """Return a study of one trial on the rows of a file, which the model's own tokenizer encodes."""
    space = hp.Space(learning_rate=hp.Float(1e-4, 1e-3), epochs=1, batch_size=8)
    task = hp.TextClassification(str(model), train=str(table), text="text", label="label")
    study = hp.Study(name, task, space, cv=2, folder=place, pruner="none", early_stopping=None)
    return study.run(1, devices="inline", progress=False)


def test_rows_of_two_tokenizers_are_the_same_by_their_content_and_not_by_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    models = [save_text_model(tmp_path / name, name) for name in ("bert", "gpt2")]
    table, moved = tmp_path / "train.csv", tmp_path / "moved.csv"
    review_rows(24).to_csv(table, index=False)
    moved.write_bytes(table.read_bytes())
    one = of_texts(tmp_path, "one", models[0], table)
    other = of_texts(tmp_path, "other", models[1], moved)
    assert one.plan.prepared.data_digest != other.plan.prepared.data_digest
    assert {each.ground: each.why_not for each in hp.compare([one, other]).evidence()}["folds"] is None
    rows = review_rows(24)
    rows["text"] = rows["text"].str.upper()  # another text in each row, and the same labels
    rows.to_csv(table, index=False)
    edited = of_texts(tmp_path, "edited", models[1], table)
    found = {each.ground: each.why_not for each in hp.compare([one, edited]).evidence()}
    assert found["folds"] == "the training data differ"
