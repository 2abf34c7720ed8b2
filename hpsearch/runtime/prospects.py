"""Which configurations a study may still come to that begin with the steps of a given one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hpsearch.records import History, Origin, Trial, digest
from hpsearch.space import Categorical, Float, Int, Parameter, Space
from hpsearch.training.trunks import HORIZON

MOST_VALUES = 8
"""So many values of a hyperparameter are looked through where they are drawn by chance: of more, each is unlikely."""


class Prospects:
    """Looks ahead: the default if it was not tried yet, what is enqueued, and what the sampler can propose.

    A sampler can propose a sibling only where nothing else is drawn from a continuous range: two draws of one are
    never the same.

    Args:
        space: What is searched.
        queued: Returns the enqueued configurations that no trial has taken yet.
        default: The literature default, or None.
        complete: Completes a configuration.
        is_grid: Whether the sampler is the grid, which takes `points` values of a continuous range.
        points: As in `hp.Grid`.
    """

    def __init__(
        self,
        space: Space,
        queued: Callable[[], Sequence[Mapping[str, Any]]],
        default: Mapping[str, Any] | None,
        complete: Callable[[Mapping[str, Any]], dict[str, Any]],
        *,
        is_grid: bool,
        points: int | None = None,
    ) -> None:
        self._space, self._queued, self._default, self._complete = space, queued, default, complete
        self._is_grid, self._points = is_grid, points
        self._proposed: dict[int, Sequence[tuple[str, dict[str, Any]]]] = {}
        self._tried: dict[int, str] = {}

    def of(self, history: History, trial: Trial) -> Iterator[dict[str, Any]]:
        """Yield the completed configs of what may still be tried and differs from `trial` in its horizon alone.

        What was enqueued, and the default, may differ in anything: it is for the caller to compare trunks.
        """
        if self._default is not None and not any(t.origin is Origin.DEFAULT for t in history.trials.values()):
            yield self._complete(self._default)
        yield from map(self._complete, self._queued())
        if trial.number not in self._proposed:
            self._proposed[trial.number] = [
                (digest(params), self._complete(self._space.config(params))) for params in self._proposals(trial)
            ]
        if self._proposed[trial.number]:
            for number in history.trials.keys() - self._tried.keys():
                self._tried[number] = digest(dict(history.trials[number].params))
            tried = set(self._tried.values())
            yield from (config for key, config in self._proposed[trial.number] if key not in tried)

    def _proposals(self, trial: Trial) -> list[dict[str, Any]]:
        """Return the searched parameters that the sampler can propose beside the rest of a trial's."""
        names = [name for name in self._space.parameters if name in HORIZON]
        rest = {name: value for name, value in trial.params.items() if name not in HORIZON}
        if not names or not all(self._comes_again(name, value, trial.params) for name, value in rest.items()):
            return []
        found = [rest]
        for name in names:
            found = [each | more for each in found for more in self._choices(name, each, trial)]
        return [params for params in found if self._space.contains(params)]

    def _comes_again(self, name: str, value: Any, params: Mapping[str, Any]) -> bool:
        """Return whether the sampler can propose a value of a hyperparameter more than once."""
        parameter = self._space.alternative(name, params)
        if parameter is None:
            return False
        if self._is_grid:
            return value in parameter.grid_values(self._points)
        return not isinstance(parameter, Float) or parameter.step is not None

    def _choices(self, name: str, params: Mapping[str, Any], trial: Trial) -> list[dict[str, Any]]:
        parameter = self._space.alternative(name, params)
        if parameter is None:
            return [{}]
        return [{name: value} for value in self._values(name, parameter, trial)]

    def _values(self, name: str, parameter: Parameter, trial: Trial) -> Sequence[Any]:
        """Return the values that the sampler can propose, the trial's own alone where there are too many."""
        own = [trial.params[name]] if name in trial.params else []
        if self._is_grid:
            return parameter.grid_values(self._points)
        match parameter:
            case Categorical():
                values: Sequence[Any] = parameter.choices
            case Int():
                values = range(parameter.low, parameter.high + 1, parameter.step)
            case _:
                return own
        return values if len(values) <= MOST_VALUES else own
