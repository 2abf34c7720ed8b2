from analysis_samples import with_trial

from hpsearch.analysis.prefixes import adopted_epochs, adopted_points, trained_epochs
from hpsearch.records import History, Outcome, Segment, SegmentResult


def test_what_was_taken_over_is_told_from_what_was_trained():
    history = with_trial(History(), 0, [[0.1, 0.2, 0.3]])
    run = history.trials[0].runs[0]
    assert (adopted_epochs(history, run.key), trained_epochs(history, run.key)) == (0.0, 1.5)
    history = history.with_result(SegmentResult(Segment(run, 0, 3), Outcome.ADOPTED, 2, "from trial 7"))
    history = history.with_result(SegmentResult(Segment(run, 2, 3), Outcome.OK, 3))
    assert adopted_points(history, run.key) == {1, 2}
    assert (adopted_epochs(history, run.key), trained_epochs(history, run.key)) == (1.0, 0.5)
    assert trained_epochs(history, "unknown") == 0.0
