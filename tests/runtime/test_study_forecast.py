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
