"""A choice of pretrained models within one study: what they are read from, and the rows prepared for each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpsearch.errors import SpaceError, TaskError
from hpsearch.space import Categorical, Space
from hpsearch.tasks.base import Prepared, Task
from hpsearch.tasks.sources import Location


@dataclass(frozen=True)
class ModelChoices:
    """The models that a space chooses among.

    Attributes:
        name: The hyperparameter that chooses.
        sources: The space's name of a model to what it is read from: a folder's absolute path at the time, or a name
            on the hub.
        own: What the task's own model is read from.
    """

    name: str
    sources: Mapping[str, str]
    own: str

    @property
    def default(self) -> str:
        """The choice that the literature default takes: the task's own model if it is one of them, else the first."""
        own = [choice for choice, source in self.sources.items() if source == self.own]
        return own[0] if own else next(iter(self.sources))

    @classmethod
    def of(cls, task: Task, space: Space) -> "ModelChoices | None":
        """Return the models that a space chooses among, or None where it leaves the model to the task.

        Raises:
            SpaceError: The choice depends on something else, or is none.
        """
        name = task.choice
        if name is None or (name not in space.parameters and name not in space.fixed):
            return None
        parameter = space.parameters.get(name)
        if parameter is None:
            choices: list[Any] = [space.fixed[name]]
        elif isinstance(parameter, Categorical) and not parameter.conditions:
            choices = list(parameter.choices)
        else:
            raise SpaceError(
                f"The space's {name} is {parameter!r}, and every configuration must have one: use "
                f"{name}=hp.Categorical([...]) without a condition."
            )
        return cls(name, {choice: _source_of(choice) for choice in choices}, str(getattr(task, name, "")))

    def found_at(self, sources: Mapping[str, str]) -> "ModelChoices":
        """Return the same choices, each read from where it was in an earlier process if that is still a folder."""
        earlier = {choice: sources[choice] for choice in self.sources if Path(sources.get(choice, "")).is_absolute()}
        return replace(self, sources={**self.sources, **{c: s for c, s in earlier.items() if Path(s).is_dir()}})

    def prepare(self, task: Task, cache: Path) -> dict[str, Prepared]:
        """Prepare the rows for every choice, the default first. Equal tokenizers or image processors share a folder.

        Raises:
            DataError: The rows cannot be learned from.
            TaskError: One or several of the models cannot be used; the message names them.
        """
        prepare = task.preparation(cache)
        prepared: dict[str, Prepared] = {}
        errors: list[str] = []
        for choice in dict.fromkeys([self.default, *self.sources]):
            try:
                prepared[choice] = prepare(task.choosing(self.sources[choice]))
            except TaskError as error:
                errors.append(f"The space chooses {self.name}={choice!r}, which cannot be used: {error}")
        if errors:
            raise TaskError(" ".join(errors))
        return prepared


def canonical_choices(prepared: Mapping[str, Prepared]) -> dict[str, str]:
    """Return choice to the first choice of the same content: a model under two names is one model, with one run."""
    first: dict[tuple[str, str, str | None], str] = {}
    return {
        choice: first.setdefault((rows.model_digest, rows.data_digest, rows.test_digest), choice)
        for choice, rows in prepared.items()
    }


def _source_of(choice: Any) -> str:
    if not isinstance(choice, str):
        raise SpaceError(f"The space chooses the model {choice!r}; give paths of folders or names on the hub, as text.")
    location = Location.of(choice)
    return location.resolved if location.value.is_dir() else choice
