"""What a study is, as plain JSON: kept in its database and as study.json, compared when it is run again."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from hpsearch.data.atomic_write import replaced_file, writing
from hpsearch.errors import StudyChangedError
from hpsearch.metrics.direction import Direction
from hpsearch.metrics.known import OF_ONE_CLASS
from hpsearch.plan.arguments import named
from hpsearch.plan.stored_keys import check_keys, stored_key
from hpsearch.plan.stored_rows import OWN, kept_rows
from hpsearch.policy.budget import Ending
from hpsearch.provenance.definitions import class_definition, definition_of, is_same
from hpsearch.provenance.modules import SCRIPTS, import_path
from hpsearch.provenance.packages import __version__
from hpsearch.records import Fits

if TYPE_CHECKING:
    from hpsearch.plan.plan import Plan

FORMAT, EARLIER_FORMAT = 2, 1
"""What this version writes, and what it reads besides: format 1, of hpsearch 0.1, knew no shares of layers."""

ARGUMENTS = (
    "name", "evaluations_per_epoch", "repeats", "seed", "precision", "deterministic",
    "checkpoint_every", "checkpoint_bytes", "feature_cache_bytes", "reproducible",
)  # fmt: skip
"""Arguments of a study that its description repeats as they are."""

_TUPLES = ("metrics", "warnings", "remarks")

RESTORED = r"\w+|(?P<kind>Grid|Racing|SuccessiveHalving)\((?P<values>(?:\w+=[\w.+-]+(?:, )?)*)\)"
"""Samplers and pruners that can be made again from what a description says of them; objects of Optuna's cannot."""


@dataclass(frozen=True)
class Description:
    """All that is needed to find out whether a study is still the same, and to load it without its script.

    Attributes:
        task: Import path and arguments of the task; DataFrames and arrays as snapshots in the study's folder.
        space: The space, as JSON.
        sampler, pruner, cv: Their names, or what kind of object they were.
        metric, metrics: Names of the objective and of everything measured.
        direction: Whether more or less of the objective is better; earlier versions always maximized.
        pos_label: The positive class, where a metric is of one of two classes; else None.
        callables: Import paths of those metrics that are functions, None for one that cannot be imported.
        definitions: Digests of what those functions compute.
        state: Names of what is left out of them, for the functions change it themselves.
        task_definition: Digest of what the task computes, where its class is the user's own.
        early_stopping: Its patience and monitor, or None.
        data, test_data, model, folds: Digests.
        checkpoint_every, checkpoint_bytes: Seconds between checkpoints, and what they may take on the disk.
        facts: Rows, what is predicted, folds and the version, for the reader.
        numerics: What the workers honour, once resolved.
        feature_cache_bytes: What outputs of frozen layers may take in the cache; None for the default.
        models: Of a study that chooses among pretrained models, by choice: what it is read from ("source"), and the
            digests "model", "data" and "test_data"; None of any other. `model`, `data` and `test_data` are then those
            of the default choice.
        goal: Arguments of the last `run`, for `resume`.
        reproducible: Whether it decides in virtual time; None in earlier versions, which decide on arrival.
        fits: How its configurations fit into memory (`records.Fits`); None in earlier versions.
        ended_by: What ended that run: the limit and the reason; None while it runs, and in earlier versions.
        test: Scores on the test rows, by digest of (config, stop point): each is computed once.
        rows: What reading needs of the rows, by the choice of a model (`plan.stored_rows`); None in earlier versions.
        directions: Which way each of `metrics` is better; earlier versions kept none.
        warnings: What the audit found, and what of the settings is hardly meant.
        remarks: What its first run found out (why it is trained in fp32).
    """

    name: str
    task: Mapping[str, Any]
    space: Mapping[str, Any]
    sampler: str
    pruner: str
    cv: str
    metric: str
    metrics: tuple[str, ...]
    callables: Mapping[str, str | None]
    early_stopping: Mapping[str, Any] | None
    evaluations_per_epoch: int
    repeats: int
    seed: int
    precision: str
    deterministic: bool
    data: str
    test_data: str | None
    model: str
    folds: str
    definitions: Mapping[str, str]
    checkpoint_every: float
    checkpoint_bytes: int
    facts: Mapping[str, Any]
    numerics: Mapping[str, Any] | None = None
    goal: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    models: Mapping[str, Mapping[str, str | None]] | None = None
    feature_cache_bytes: int | None = None
    direction: str = Direction.MAXIMIZE.value
    rows: Mapping[str, Any] | None = None
    directions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    pos_label: Any = None
    format: int = FORMAT
    state: Mapping[str, Sequence[str]] = field(default_factory=dict)
    task_definition: str | None = None
    ended_by: Mapping[str, Any] | None = None
    fits: Mapping[str, Any] | None = None
    reproducible: bool | None = None

    @classmethod
    def of(
        cls,
        plan: "Plan",
        numerics: Mapping[str, Any] | None = None,
        goal: Mapping[str, Any] | None = None,
        test: Mapping[str, Any] | None = None,
        remarks: tuple[str, ...] = (),
    ) -> "Description":
        """Describe a study as it is now; reads its data, unless the study is read from what it keeps of them."""
        rows = plan.described_rows
        prepared = rows[OWN if plan.choices is None else plan.choices.default]
        sources = [plan.named_metric, *plan.metrics]
        objective, measured = plan.objective, plan.measured  # which tries the functions, and so finds their state
        definitions = {_callable_name(source): definition_of(source) for source in sources if callable(source)}
        return cls(
            **{name: getattr(plan, name) for name in ARGUMENTS},
            task=plan.task.describe(),
            space=plan.space.to_json(),
            sampler=named(plan.sampler),
            pruner=named(plan.pruner),
            cv=plan.cv_name,
            metric=objective.name,
            direction=objective.direction.value,
            pos_label=plan.pos_label,
            metrics=tuple(metric.name for metric in measured),
            callables={_callable_name(source): import_path(source) for source in sources if callable(source)},
            early_stopping=None if plan.early_stopping is None else asdict(plan.early_stopping),
            data=prepared.data_digest,
            test_data=prepared.test_digest,
            model=prepared.model_digest,
            folds=plan.folds.digest,
            definitions={name: definition.digest for name, definition in definitions.items()},
            task_definition=class_definition(type(plan.task)),
            state={name: definition.state for name, definition in definitions.items() if definition.state},
            facts={
                "rows": prepared.trained_rows,
                **({"validation_rows": prepared.validation_rows} if prepared.validation_rows else {}),
                "test_rows": prepared.test_rows,
                "classes": list(prepared.judge.classes),
                "targets": prepared.judge.targets_text,
                "folds": len(plan.folds.pairs),
                "hpsearch": __version__,
            },
            numerics=numerics,
            goal=goal,
            test=test,
            models=_models(plan),
            rows=kept_rows(rows),
            directions={metric.name: metric.direction.value for metric in plan.measured},
            warnings=plan.warnings,
            remarks=remarks,
        )

    def as_stored(self, plan: "Plan", stored: "Description") -> "Description":
        """Return this description with the stored definition of all code that computes the same, however it is told."""
        sources = {_callable_name(source): source for source in (plan.named_metric, *plan.metrics)}
        same = {
            name: digest
            for name, digest in stored.definitions.items()
            if name in self.definitions and is_same(sources[name], digest, stored.state.get(name, ()))
        }
        task = plan.task.described_like(stored.task)
        return replace(
            self,
            definitions={**self.definitions, **same},
            task_definition=stored.task_definition and self.task_definition,  # which earlier versions did not store
            task=task,
            model=self.model if task == self.task else stored.model,  # whose digest covers the definitions
        )

    @property
    def needs_its_script(self) -> bool:
        """Whether the study cannot go on without the script or notebook that made a part of it."""
        module, _, name = str(self.task["task"]).partition(":")
        rules = [text for text in (self.sampler, self.pruner) if not re.fullmatch(RESTORED, text)]
        code = None in self.callables.values() or None in self.task_code.values()
        return module in SCRIPTS or "<" in name or code or bool(rules)

    @property
    def ending(self) -> Ending | None:
        """What ended the last run, or None where that is not known."""
        return None if self.ended_by is None else Ending(self.ended_by["limit"], self.ended_by["reason"])

    @property
    def task_name(self) -> str:
        """The name of the task's class."""
        return str(self.task["task"]).rpartition(":")[2].rpartition(".")[2]

    @property
    def split_text(self) -> str:
        """What its trials are evaluated on, in words."""
        if self.facts.get("validation_rows"):
            return f"the {self.facts['validation_rows']} validation rows that you gave"
        return f"{self.facts['folds']} fold(s)"

    @property
    def every_warning(self) -> tuple[str, ...]:
        """All that was warned of when the study was run."""
        return (*self.warnings, *self.remarks, *self.known_fits.remarks)

    @property
    def known_fits(self) -> Fits:
        """How the study's configurations fit into memory, as far as that is known."""
        return Fits() if self.fits is None else Fits.from_dict(self.fits)

    @property
    def task_code(self) -> Mapping[str, str | None]:
        """Import path of each argument of the task that is code of the user's, None for one that cannot be imported."""
        return {name: argument["code"] for name, argument in code_arguments(self.task).items()}

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _TUPLES}}

    @classmethod
    def from_json(cls, values: Any, source: str = "this description") -> "Description":
        """Read a description back from `source`, the file or database that has it.

        Raises:
            StudyChangedError: A version of hpsearch wrote it that this one cannot read.
            StoreError: A key is missing or of another type.
        """
        written = values.get("format") if isinstance(values, Mapping) else None
        if isinstance(written, int) and written not in (FORMAT, EARLIER_FORMAT):
            raise StudyChangedError(
                f"{source}: the study was written in format {written} and this hpsearch reads {EARLIER_FORMAT} "
                f"and {FORMAT}. Install the version of hpsearch that wrote it (study.json names it), or start a new "
                "study."
            )
        check_keys(values, _hints(), _required(), source)
        with stored_key("space", source):
            freezes_one = written == EARLIER_FORMAT and _freezes_one_layer(values["space"])
        if freezes_one:
            raise StudyChangedError(
                "The study has freeze_layers=1.0, which was one layer in hpsearch 0.1.0 and is all layers now. Install "
                "hpsearch 0.1.0 to read it, or start a new study."
            )
        with stored_key("direction", source):
            Direction(values.get("direction", Direction.MAXIMIZE))
        with stored_key("fits", source):
            if values.get("fits") is not None:
                Fits.from_dict(values["fits"])
        if "pos_label" not in values:
            values = {**values, "pos_label": _unsaid_class(values)}
        return cls(**{**values, **{name: tuple(values.get(name, ())) for name in _TUPLES}})

    def write(self, path: Path) -> None:
        """Write the description where a person reads it, durably and whole."""
        with writing(path, "folder="):
            path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        with replaced_file(path) as file:
            file.write(f"{text}\n".encode())


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Description)


@cache
def _required() -> set[str]:
    without_default = {
        each.name for each in fields(Description) if each.default is MISSING and each.default_factory is MISSING
    }
    return {*without_default, "format"}


def _unsaid_class(values: Mapping[str, Any]) -> Any:
    """Return the positive class of a study of an earlier version, which kept no word of it; None where it had none.

    What has a name was of the second class, and scikit-learn's functions were of 1.
    """
    facts = values["facts"]
    classes = list(facts["classes"])
    targets = str(facts.get("kind") or facts.get("targets"))  # "multilabel", or "2 labels"
    if len(classes) != 2 or targets.endswith(("label", "labels")):
        return None
    if set(OF_ONE_CLASS) & set(values["metrics"]):
        return classes[1]
    return classes[classes.index(1)] if values["callables"] and 1 in classes else None


def _freezes_one_layer(space: Mapping[str, Any]) -> bool:
    """Return whether a space of format 1 can have the value 1.0 for `freeze_layers`, or has it as its default."""
    tables = [table for table in space["parameters"] if table["name"] == "freeze_layers"]
    values = [values.get("freeze_layers") for values in (space["fixed"], space.get("default") or {})]
    values += [choice for table in tables for choice in table.get("choices", ())]
    is_float = any(table["type"] == "float" for table in tables)
    return is_float or any(isinstance(value, float) and value == 1.0 for value in values)


def _models(plan: "Plan") -> dict[str, dict[str, str | None]] | None:
    if plan.choices is None:
        return None
    return {
        choice: {
            "source": plan.choices.sources[choice],
            "model": prepared.model_digest,
            "data": prepared.data_digest,
            "test_data": prepared.test_digest,
        }
        for choice, prepared in plan.described_rows.items()
    }


def code_arguments(task: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the descriptions of a task's arguments that are code of the user's."""
    arguments = task.get("arguments", {}).items()
    return {name: value for name, value in arguments if isinstance(value, Mapping) and "definition" in value}


def _callable_name(source: Any) -> str:
    from hpsearch.metrics.metric import metric_name

    return metric_name(source)
