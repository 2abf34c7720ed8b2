"""What is said of whether a study can be repeated, on logs of which every entry is given here."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from analysis_samples import with_trial

from hpsearch.analysis.repeatability import decided, disturbances
from hpsearch.policy.trial_limit import TrialLimit
from hpsearch.records import History, TrialState
from hpsearch.records.order_log import Entry, Happening

BEGIN = [
    Entry(0, Happening.SLOTS, number=4),
    Entry(0, Happening.GIVEN, words="hpsearch: 0.2.0"),
    Entry(0, Happening.GIVEN, words="trials: 12"),
]


def asked(*trials: int) -> list[Entry]:
    return [Entry(10 * trial, Happening.ASKED, trial=trial) for trial in trials]


def noted(words: str) -> Entry:
    return Entry(50, Happening.NOTED, words=words)


def given(words: str) -> Entry:
    return Entry(50, Happening.GIVEN, words=words, number=1)


@pytest.mark.parametrize("entries", [[], BEGIN, [*BEGIN, *asked(0, 1), Entry(20, Happening.PAUSED, trial=0)]])
def test_what_follows_from_the_seed_is_no_disturbance(entries: Sequence[Entry]) -> None:
    assert disturbances(entries, History()) == []


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (given("trials: 50"), "from trial 3 on: trials is 50"),
        (given("patience: none"), "from trial 3 on: patience is no longer given"),
        (given("hpsearch: 0.3.0"), "from trial 3 on: the version of hpsearch is 0.3.0"),
        (given("pruner: Racing(margin=1.0)"), "from trial 3 on: the pruner is Racing(margin=1.0)"),
        (given("planned cost: 2"), "from trial 3 on: the version of the planned cost is 2"),
        (given("enqueued: 2"), "from trial 3 on: the number of enqueued configurations is 2"),
        (given("virtual slots: 8"), "from trial 3 on: the number of virtual slots is 8"),
        (noted("trial 1 ran out of memory on fold 0"), "trial 1 ran out of memory on fold 0"),
        (noted("the limit patience ended it: x"), "after trial 2: the limit patience ended it: x"),
    ],
)  # fmt: skip
def test_each_disturbance_is_a_sentence_with_its_place(entry: Entry, sentence: str) -> None:
    assert disturbances([*BEGIN, *asked(0, 1, 2), entry, *asked(3)], History()) == [sentence]


def test_disturbances_are_in_the_order_in_which_they_took_effect() -> None:
    first = noted("the limit timeout ended it: its time is up")
    log = [*BEGIN, first, *asked(0, 1), noted("trial 0 hung 3 times on fold 1"), given("trials: 20")]
    assert disturbances(log, History()) == [
        "before the first trial: the limit timeout ended it: its time is up",
        "trial 0 hung 3 times on fold 1",
        "from trial 2 on: trials is 20",
    ]


def test_a_trial_that_took_longer_than_it_may_is_one_where_the_study_decides_in_virtual_time() -> None:
    limit = TrialLimit(epochs=1.0, device_seconds=1.0)
    history = with_trial(History(), 0, [[0.5, 0.6]], value=0.6, point=2)
    slow = replace(limit, epochs=None).reason_to_end(history, replace(history.trials[0], stop=9))
    short = limit.reason_to_end(history, history.trials[0])
    assert slow is not None and short is not None
    history = with_trial(history, 1, [[0.5]], state=TrialState.PRUNED, reason=slow)
    history = with_trial(history, 2, [[0.5]], state=TrialState.PRUNED, reason=short)
    assert disturbances([*BEGIN, *asked(0, 1, 2)], history) == [f"trial 1 was {slow}"]
    assert disturbances([], history) == []


def test_a_study_in_virtual_time_says_how_many_slots_it_has() -> None:
    expected = "in virtual time with 4 slots: the same script gives the same table"
    assert decided(BEGIN, "bayesian", "racing") == expected
    raised = [*BEGIN, Entry(9, Happening.SLOTS, number=8)]
    assert decided(raised, "bayesian", "racing") == expected.replace("4", "8")
    disturbed = [*raised, given("virtual slots: 8")]
    assert decided(disturbed, "bayesian", "racing") == decided(raised, "", "") + ", but for what is said below it"


@pytest.mark.parametrize(
    ("sampler", "pruner", "limits", "is_same"),
    [
        ("random", "none", (), True),
        ("Grid(points=4)", "none", ("epochs_per_trial",), True),
        ("qmc", "none", ("patience",), False),
        ("grid", "racing", (), False),
        ("bayesian", "none", (), False),
    ],
)
def test_a_study_on_arrival_says_whether_that_decides_anything(
    sampler: str, pruner: str, limits: Sequence[str], is_same: bool
) -> None:
    text = decided([], sampler, pruner, limits)
    assert text.startswith("on arrival")
    assert text.endswith("the same script gives the same table" if is_same else "may differ from run to run")
