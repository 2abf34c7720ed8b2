"""What a budget leaves to a study, as its forecast counts it."""

import pytest
from toy_studies import toy_study

import hpsearch as hp


@pytest.mark.parametrize(
    ("limits", "fewest"),
    [({"target": 0.0}, 1), ({"patience": 2}, 3), ({"patience": 2, "target": 0.0}, 1)],
    ids=["target of zero", "patience", "both"],
)
def test_what_depends_on_scores_may_end_a_study_after_so_many_trials(tmp_path, limits, fewest):
    study = toy_study(tmp_path, metric="log_loss", sampler="random")
    seen = study.forecast(6, budget=hp.Budget(**limits), devices="inline", progress=False)
    assert (seen.fewest, seen.trials) == (fewest, 6)
    assert not study.folder.exists()


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A study of three trials, of which the last two repeat the first, so that they are no better."""
    study = toy_study(tmp_path_factory.mktemp("begun"), metric="log_loss", sampler="random")
    first = study.run(1, devices="inline", progress=False).history.trials[0]
    for _ in range(2):
        study.enqueue(first.config)
    study.run(3, devices="inline", progress=False)
    return study


@pytest.mark.parametrize(
    ("limits", "fewest"), [({"patience": 4}, 2), ({"patience": 2}, 0), ({"target": 100.0}, 0)], ids=str
)
def test_what_a_study_has_counted_of_its_patience_or_reached_of_its_target_is_gone(begun, limits, fewest):
    seen = begun.forecast(6, budget=hp.Budget(**limits), devices="inline", progress=False)
    assert (seen.fewest, seen.trials) == (fewest, 3)


def test_a_trial_that_waits_counts_for_patience(tmp_path):
    """Two wait as the epochs end, and one of them may go on; decided on arrival, one trial after the other."""
    study = toy_study(tmp_path, sampler="random", pruner="racing", reproducible=False)
    history = study.run(budget=hp.Budget(epochs=14), devices="inline", progress=False).history
    assert [trial.state.value for trial in history.trials.values()] == ["complete", "complete", "waiting", "waiting"]
    assert history.trials[0].value > history.trials[1].value
    assert study.forecast(20, budget=hp.Budget(patience=9), devices="inline", progress=False).fewest == 9 - 2
