"""Studies that hpsearch 0.1.0 made are read, or refused by naming that version.

`earlier_studies/` has three that earlier versions really made, their databases as SQL: one whose runs shared their
first steps, paused in its sixth trial; one with several ranges under one name; and one of version 0.2.0, paused after
its third trial, whose objective is an error of its user's.
"""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import Result
from share_wrong import share_wrong
from toy_studies import toy_study
from typer.testing import CliRunner

import hpsearch as hp
from hpsearch.cli.commands import app
from hpsearch.errors import MetricError, NumericsError, SpaceError, StudyChangedError
from hpsearch.plan.description import Description
from hpsearch.records import TrialState
from hpsearch.study import Study
from hpsearch.study_loading import read

EARLIER = Path(__file__).parent / "earlier_studies"


def restored(name: str, folder: Path) -> Path:
    """Return the folder of an earlier study, its database made again."""
    place = folder / "toy"
    shutil.copytree(EARLIER / name, place)
    with sqlite3.connect(place / "study.db") as connection:
        connection.executescript((place / "study.sql").read_text(encoding="utf-8"))
    connection.close()
    return place


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))


def test_a_study_whose_runs_shared_their_first_steps_is_read(tmp_path: Path) -> None:
    stored = read(restored("shared_steps", tmp_path))
    assert [trial.state for trial in stored.history.trials.values()] == [TrialState.COMPLETE] * 5 + [TrialState.WAITING]
    assert stored.history.trials[3].value == pytest.approx(0.314485, abs=1e-6)
    result = hp.load("toy", folder=tmp_path).result
    assert result.best.number == 2
    assert "adopted_epochs" not in result.table()
    assert len(result.curves()) > 100
    assert result.report(tmp_path / "report.html").stat().st_size > 1_000_000


def test_it_continues_as_a_study_of_this_version_would(tmp_path: Path) -> None:
    """Runs that shared their first steps measured what they measure alone, to the last bit."""
    restored("shared_steps", tmp_path / "earlier")
    space = hp.Space.from_json(read(tmp_path / "earlier" / "toy").description.space)
    fresh = toy_study(tmp_path / "fresh", space=space).run(trials=6, devices="inline", progress=False)
    try:
        continued = hp.load("toy", folder=tmp_path / "earlier").run(trials=6, devices="inline", progress=False)
    except NumericsError as error:
        pytest.skip(f"it began on another machine: {error}")
    for number, trial in fresh.history.trials.items():
        again = continued.history.trials[number]
        assert (again.config, again.state, again.value) == (trial.config, trial.state, trial.value)
        for run, other in zip(trial.runs, again.runs, strict=True):
            one, two = fresh.history.of(run.key), continued.history.of(other.key)
            assert [evaluation.metrics for evaluation in one] == [evaluation.metrics for evaluation in two]


@pytest.mark.parametrize("reproducible", [None, True, False])
def test_an_earlier_study_continues_on_arrival_whatever_is_given(tmp_path: Path, reproducible: bool | None) -> None:
    """None: as `hp.load` finds it. Its sampler learns, so a new study like it would decide in virtual time."""
    settings = {"sampler": "bayesian", "pruner": "racing"}
    toy_study(tmp_path, **settings, reproducible=False).run(trials=2, devices="inline", progress=False)
    with sqlite3.connect(tmp_path / "toy" / "study.db") as connection:  # as an earlier version wrote it
        ((text,),) = connection.execute("select description from hpsearch_studies").fetchall()
        earlier = {name: value for name, value in json.loads(text).items() if name != "reproducible"}
        connection.execute("update hpsearch_studies set description = ?", (json.dumps(earlier),))
    connection.close()
    (tmp_path / "toy" / "study.json").write_text(json.dumps(earlier), encoding="utf-8")
    loaded = hp.load("toy", folder=tmp_path)
    assert loaded.plan.reproducible is None
    study = loaded if reproducible is None else toy_study(tmp_path, **settings, reproducible=reproducible)
    result = study.run(trials=3, devices="inline", progress=False)
    assert len(result.history.trials) == 3
    assert list(study.store().entries) == result.disturbances == []
    assert read(tmp_path / "toy").description.reproducible is None
    assert result.content(with_test=False).facts["decided"] == "on arrival: the table may differ from run to run"


def test_a_study_with_several_ranges_under_one_name_is_refused_by_the_version_that_reads_it(tmp_path: Path) -> None:
    restored("several_ranges", tmp_path)
    with pytest.raises(SpaceError, match=r"several ranges .*'learning_rate'.* Install hpsearch 0\.1\.0"):
        hp.load("toy", folder=tmp_path)


@pytest.mark.parametrize(("value", "is_refused"), [(1.0, True), (1, False), (0.0, False), ("all", False)])
def test_one_layer_that_was_written_as_a_number_with_a_point_is_not_taken_for_all(
    value: object, is_refused: bool
) -> None:
    values = json.loads((EARLIER / "shared_steps" / "study.json").read_text(encoding="utf-8"))
    values["space"]["fixed"]["freeze_layers"] = value
    if is_refused:
        with pytest.raises(StudyChangedError, match=r"freeze_layers=1\.0.* Install hpsearch 0\.1\.0"):
            Description.from_json(values)
    else:
        assert Description.from_json(values).space["fixed"]["freeze_layers"] == value
    assert Description.from_json({**values, "format": 2}).format == 2


def test_a_range_that_holds_one_layer_with_a_point_is_refused_too() -> None:
    values = json.loads((EARLIER / "shared_steps" / "study.json").read_text(encoding="utf-8"))
    table = {"name": "freeze_layers", "type": "float", "low": 0.0, "high": 1.0, "step": 1.0}
    values["space"]["parameters"].append(table)
    with pytest.raises(StudyChangedError, match="Install hpsearch 0"):
        Description.from_json(values)


def run_command(words: list[str]) -> Result:
    return CliRunner().invoke(app, words)


def test_a_study_that_maximized_an_error_is_read_as_it_was_and_not_continued(tmp_path: Path) -> None:
    """Version 0.2.0 took every objective for a score. What the study found is read; nobody searches on like that."""
    place = restored("own_error", tmp_path)
    study = hp.load("toy", folder=tmp_path)
    result = study.result
    values = result.table()["value"]
    assert result.best.value == values.max() > values.min()
    assert study.objective.direction == result.history.direction == "maximize"
    assert result.report(tmp_path / "report.html").stat().st_size > 1_000_000
    page = ["--output", str(tmp_path / "again.html")]
    for command in (["show", str(place)], ["list", "--folder", str(tmp_path)], ["report", str(place), *page]):
        assert not run_command(command).exit_code
    with pytest.raises(
        MetricError, match=r"'maximize' contradicts metric 'share_wrong': .* gives 0 to those that are all right"
    ):
        study.run(trials=5, devices="inline", progress=False)
    assert run_command(["resume", str(place)]).exit_code
    script = Study("toy", study.task, study.space, sampler="grid", cv=3, metric=share_wrong, metrics=["accuracy"],
                   pruner="none", early_stopping=None, seed=3, folder=tmp_path)  # fmt: skip
    assert script.result.best.value == result.best.value
    with pytest.raises(MetricError, match="contradicts metric 'share_wrong'"):
        script.run(trials=5, devices="inline", progress=False)
    assert len(read(place).history.trials) == 3
    try:
        exported = result.export(tmp_path / "model")
    except NumericsError as error:
        pytest.skip(f"it began on another machine: {error}")
    facts = json.loads((exported / "hpsearch.json").read_text(encoding="utf-8"))
    assert facts["cross_validation"]["direction"] == "maximize"
    assert run_command(["export", str(place), str(tmp_path / "again")]).exit_code == 0
