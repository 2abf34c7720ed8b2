"""Which runs of a study have one trunk, and where its evaluation points lie among the optimizer steps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpsearch.records import History, Run, digest
from hpsearch.training.trunks import Trunk, trunk_of

Named = tuple[str, Trunk]
"""A trunk and its name: equal names, equal steps."""


class Kinship:
    """An index of the runs by their trunk; trials are only ever added, and a run's never changes.

    Args:
        base_key: What of a completed config decides which model is trained (`Task.base_key`), or None.
    """

    def __init__(self, base_key: Callable[[Mapping[str, Any]], str] | None) -> None:
        self._base_key = base_key
        self._trunks: dict[str, Named | None] = {}
        self._kin: dict[str, dict[str, tuple[int, Run]]] = {}
        self._indexed: set[int] = set()

    def trunk(self, run: Run) -> Named | None:
        """Return the trunk of a run, None where it has none or its steps an epoch are not known."""
        if run.key not in self._trunks:
            self._trunks[run.key] = self.of_config(run.config, run)
        return self._trunks[run.key]

    def require(self, run: Run) -> Trunk:
        """Return the trunk of a run that is known to have one."""
        found = self.trunk(run)
        if found is None:
            raise ValueError(f"run {run.key} has no steps that others share")
        return found[1]

    def known(self, run: str) -> Named | None:
        """Return the trunk of a run that was asked for before, by its key."""
        return self._trunks.get(run)

    def of_config(self, config: Mapping[str, Any], like: Run) -> Named | None:
        """Return the trunk that a completed config would have on the fold and with the seed of another run."""
        trunk = trunk_of(config, like.steps_per_epoch) if like.steps_per_epoch else None
        if trunk is None:
            return None
        base = "" if self._base_key is None else self._base_key(config)
        return digest([dict(trunk.config), base, like.fold, like.repeat]), trunk

    def of(self, history: History, trunk: str) -> Mapping[str, tuple[int, Run]]:
        """Return run key to (first trial, run) of every run with a trunk, by its name."""
        self._index(history)
        return self._kin.get(trunk, {})

    def relatives(self, history: History, run: Run) -> list[tuple[int, Run, int]]:
        """Return (trial, run, steps in common) of every other run with the same trunk."""
        own = self.trunk(run)
        if own is None:
            return []
        kin = self.of(history, own[0]).values()
        return [(n, each, min(own[1].steps, self.require(each).steps)) for n, each in kin if each.key != run.key]

    def families(self, history: History, runs: Sequence[Run] | None = None) -> list[Run]:
        """Return all runs that share steps with another one, or those with the trunk of one of `runs`."""
        self._index(history)
        names = self._kin if runs is None else {own[0] for run in runs if (own := self.trunk(run)) is not None}
        return [run for name in names if len(self._kin.get(name, {})) > 1 for _, run in self._kin[name].values()]

    def _index(self, history: History) -> None:
        if len(self._indexed) == len(history.trials):
            return
        for number, trial in history.trials.items():
            if number in self._indexed:
                continue
            self._indexed.add(number)
            for run in trial.runs:
                own = self.trunk(run)
                if own is not None:
                    self._kin.setdefault(own[0], {}).setdefault(run.key, (number, run))


def step_of(run: Run, point: int) -> int:
    """Return the number of optimizer steps after which a run reaches an evaluation point."""
    return -(-point * run.steps_per_epoch // _evaluations_per_epoch(run))


def last_point(run: Run, step: int) -> int:
    """Return the last evaluation point that a run has reached after so many optimizer steps."""
    return step * _evaluations_per_epoch(run) // run.steps_per_epoch


def _evaluations_per_epoch(run: Run) -> int:
    return run.horizon // int(run.config["epochs"])
