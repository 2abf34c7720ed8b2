"""Several comparisons at once: p-values adjusted so that one false alarm among all of them stays rare."""

from collections.abc import Sequence
from dataclasses import replace

from hpsearch.analysis.significance import Evidence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted by Holm's step-down procedure (Holm 1979), in the order given.

    Each may then be compared with the level on its own: the chance of any false alarm is at most that level.

    Raises:
        ValueError: One is not between 0 and 1.
    """
    if not all(0 <= value <= 1 for value in p_values):
        raise ValueError(f"p-values {list(p_values)}: numbers between 0 and 1 are needed")
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def corrected_for_several(answers: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return evidence whose p-values and verdicts are corrected by Holm for the number of questions asked.

    Questions without a p-value could not have given a false alarm, so they are not counted. Intervals stay as they
    are, each for its own comparison, and so does a single question.
    """
    asked = [index for index, evidence in enumerate(answers) if evidence.p_value is not None]
    if len(asked) < 2:
        return tuple(answers)
    corrected = list(answers)
    for index, p_value in zip(asked, holm([answers[index].p_value or 0.0 for index in asked]), strict=True):
        evidence = answers[index]
        is_held = p_value > 1 - evidence.level
        corrected[index] = replace(
            evidence,
            p_value=p_value,
            verdict="not distinguishable" if is_held else evidence.verdict,
            method=f"{evidence.method}; p-value corrected for {len(asked)} comparisons (Holm 1979)",
        )
    return tuple(corrected)
