import pytest

from hpsearch.analysis.significance import Evidence, corrected_for_several, holm


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # Holm 1979, the textbook's four
        ([0.02], [0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([], []),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert list(holm(p_values)) == pytest.approx(adjusted)


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


def test_a_verdict_that_does_not_survive_is_taken_back() -> None:
    strong = Evidence(0.1, (0.05, 0.15), 0.001, "better", "a test")
    weak = Evidence(-0.1, (-0.19, -0.01), 0.03, "worse", "a test")
    weaker = Evidence(0.1, (0.01, 0.19), 0.04, "better", "a test")
    silent = Evidence(0.1, None, None, "not distinguishable", "no test")
    found = corrected_for_several([strong, weak, silent, weaker])
    assert [each.verdict for each in found] == ["better", "not distinguishable"] + ["not distinguishable"] * 2
    assert [each.p_value for each in found] == [pytest.approx(0.003), pytest.approx(0.06), None, pytest.approx(0.06)]
    assert found[0].interval == strong.interval
    assert "corrected for 3 comparisons" in found[0].method
    assert found[2] is silent


def test_one_question_is_left_as_it_is() -> None:
    alone = Evidence(0.1, (0.01, 0.19), 0.04, "better", "a test")
    assert corrected_for_several([alone]) == (alone,)
