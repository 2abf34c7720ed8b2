"""Load a study by name from its folder or database, without the script that made it."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.errors import DataError, StoreError, StudyNotFoundError, UsageError, nearest
from hpsearch.metrics.direction import Direction
from hpsearch.plan.description import ARGUMENTS, RESTORED, Description
from hpsearch.plan.paths import DATABASE_FILE, DESCRIPTION_FILE, FOLDS_FILE, TARGETS_FOLDER, lost_database
from hpsearch.plan.stored_keys import stored_key
from hpsearch.plan.stored_rows import StoredMetric, stored_rows
from hpsearch.provenance.modules import imported
from hpsearch.records import History
from hpsearch.records.order_log import Entry
from hpsearch.space import Space

if TYPE_CHECKING:
    from hpsearch.data.folds import Folds
    from hpsearch.records import TrialState
    from hpsearch.records.store import Store
    from hpsearch.study import Study
    from hpsearch.tasks import Task


@dataclass(frozen=True)
class StoredStudy:
    """What is stored of a study, read without its task, data and metrics.

    Attributes:
        description: What it is.
        history: What has happened.
        folder: The study's folder.
        test_shares: By fold, held-out rows over all rows of the split; None where the folds are not in its folder.
        database: Its database, as messages show it.
        entries: The order that it was decided in; empty where that is the order of arrival.
    """

    description: Description
    history: History
    folder: Path
    test_shares: tuple[float, ...] | None
    database: str
    entries: Sequence[Entry] = ()


def load(
    name: str | Path,
    *,
    folder: str | Path = "runs",
    storage: str | None = None,
    task: "Task | None" = None,
    metric: Any = None,
    metrics: Sequence[Any] | None = None,
    sampler: Any = None,
    pruner: Any = None,
) -> "Study":
    """Load a study that was run before, finished or not.

    Its result can be read wherever its folder is: without its data, its models, the script that made it, or the right
    to write. What needs these says so when it is asked for: running, refits, export.

    Args:
        name: The study's name, or a path to its folder.
        folder: The folder that holds the studies.
        storage: SQLAlchemy URL of the database, if it is not in the study's folder.
        task: The task, if it was defined in a notebook or script and cannot be imported.
        metric: The objective, if it is a function that cannot be imported.
        metrics: All further metrics, if one of them cannot be imported.
        sampler: Another sampler than before. Give a sampler object again if you want to run more trials.
        pruner: The same for the pruner.

    Raises:
        StudyNotFoundError: There is no such study.
        StoreError: It cannot be read.
    """
    from hpsearch.study import Study

    place = _place(name, folder)
    with _open(place, storage) as store:
        description, source = Description.from_json(store.description, store.place), store.place
    is_as_stored = task is None and metric is None and metrics is None
    missing: list[UsageError] = []  # what only a script can give: the study can be read without
    rows = stored_rows(description.rows, place / TARGETS_FOLDER)
    with stored_key("space", source):
        space = Space.from_json(description.space)
    with stored_key("early_stopping", source):
        early_stopping = _early_stopping(description.early_stopping)
    with stored_key("task", source):
        task = task if task is not None else _task(description, place, missing)
    study = Study(
        **{argument: getattr(description, argument) for argument in ARGUMENTS},
        task=task,
        space=space,
        sampler=sampler if sampler is not None else _from_text(description.sampler),
        cv=_splitter(description, place),
        metric=metric if metric is not None else _metric(description.metric, description, missing),
        direction=description.direction,
        metrics=metrics
        if metrics is not None
        else [_metric(name, description, missing) for name in description.metrics[1:]],
        pruner=pruner if pruner is not None else _from_text(description.pruner),
        early_stopping=early_stopping,
        folder=place.parent,
        storage=storage,
    )
    study.plan.cv_name = description.cv
    study.plan.stored_direction = Direction(description.direction)
    study.plan.stored_class = description.pos_label
    if study.plan.choices is not None and description.models is not None:
        with stored_key("models", source):
            sources = {choice: str(model["source"]) for choice, model in description.models.items()}
            study.plan.choices = study.plan.choices.found_at(sources)
    study.plan.folder = place.resolve()  # where it is now, under whatever name its folder has
    if missing:
        study.plan.missing = missing[0]
        if rows is None:
            raise missing[0]
    if is_as_stored and rows is not None:
        study.plan.read_from(rows)
        study.is_as_stored = True
    return study


def studies(folder: str | Path = "runs") -> list[Description]:
    """Return the descriptions of the studies in a folder, by name.

    Raises:
        StoreError: One of them cannot be read.
        StudyChangedError: A version of hpsearch made one that this version cannot read.
    """
    return [_description(place) for place in study_folders(folder)]


def study_folders(folder: str | Path = "runs") -> list[Path]:
    """Return the folders of the studies in a folder, by name."""
    return sorted(place for place in Path(folder).glob("*") if _holds_study(place))


def read_outcomes(
    name: str | Path, *, folder: str | Path = "runs", storage: str | None = None
) -> "tuple[Description, Mapping[int, tuple[TrialState, float | None]]]":
    """Return what a study is, and (state, value) of each of its trials, by number; raises as `read` does."""
    place = _place(name, folder)
    with _open(place, storage) as store:
        return Description.from_json(store.description, store.place), store.outcomes()


def read(name: str | Path, *, folder: str | Path = "runs", storage: str | None = None) -> StoredStudy:
    """Read a study without its task or its data.

    Raises:
        StudyNotFoundError: There is no such study.
        StoreError: It cannot be read.
    """
    place = _place(name, folder)
    with _open(place, storage) as store:
        folds = _folds(place)
        shares = None if folds is None else tuple(folds.test_share(index) for index in range(len(folds)))
        description = Description.from_json(store.description, store.place)
        return StoredStudy(description, store.history, place, shares, store.place, store.entries)


def _place(name: str | Path, folder: str | Path) -> Path:
    """Return the folder of a study from its name, its folder, or a file in it."""
    given = Path(name)
    if given.name in (DATABASE_FILE, DESCRIPTION_FILE) and given.is_file():
        return given.parent
    is_path = _holds_study(given) or len(given.parts) > 1
    return given if is_path else Path(folder) / name


def _holds_study(place: Path) -> bool:
    return (place / DESCRIPTION_FILE).is_file() or (place / DATABASE_FILE).is_file()


def _open(place: Path, storage: str | None) -> "Store":
    from hpsearch.records.store import Store
    from hpsearch.records.urls import sqlite_url

    database = place.resolve() / DATABASE_FILE
    if storage is None and not database.is_file():
        raise _not_found(place)
    name = _description(place).name if (place / DESCRIPTION_FILE).is_file() else place.name
    return Store.open(storage or sqlite_url(Path(database)), name)


def _not_found(place: Path) -> StudyNotFoundError:
    if _holds_study(place):
        return lost_database(place.name, place, None)
    names = [folder.name for folder in study_folders(place.parent)]
    there = f" The studies there are {', '.join(names)}." if names else " There are no studies there."
    return StudyNotFoundError(
        f"There is no study {place.name!r} in {place.parent}.{nearest(place.name, names)}{there} "
        "Use folder= (--folder) to look elsewhere, or storage= (--storage) for a database."
    )


def _description(place: Path) -> Description:
    """Return what study.json says, or the database where there is none: a study killed while it was being made."""
    path = place / DESCRIPTION_FILE
    if not path.is_file():
        with _open(place, None) as store:
            return Description.from_json(store.description, store.place)
    try:
        return Description.from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}). It is a copy of what {DATABASE_FILE} beside it holds: remove it, and "
            "the next run of the study writes it again."
        ) from error


def _folds(place: Path) -> "Folds | None":
    """Return the folds that are kept in a study's folder, or None."""
    from hpsearch.data.folds import Folds

    try:
        return Folds.read(place / FOLDS_FILE)
    except DataError:
        return None


def _task(description: Description, place: Path, missing: list[UsageError]) -> "Task":
    """Return the task of a study; where it cannot be made again, one to read the study by, and why in `missing`."""
    from hpsearch.tasks import Task
    from hpsearch.tasks.stored_task import StoredTask

    try:
        return Task.from_description(description.task, place / "data")
    except UsageError as error:
        missing.append(error)
    space = description.space
    names = {table["name"] for table in space["parameters"]} | set(space["fixed"]) | set(space.get("default") or {})
    first: Mapping[str, Any] = next(iter((description.rows or {}).values()), {})
    return StoredTask(
        description.task,
        missing[-1],
        sorted(names),
        None if description.models is None else "model",
        str(first.get("source") or description.task["arguments"].get("model") or "a model"),
    )


def _metric(name: str, description: Description, missing: list[UsageError]) -> Any:
    """Return a metric of a study; where its function is not there, one to read it by, and why in `missing`."""
    if name not in description.callables:
        return name
    path = description.callables[name]
    if path is None:
        missing.append(
            UsageError(
                f"The study {description.name!r} measures {name!r}, a function that cannot be imported (it was defined "
                "in a notebook or script). Run that script again, which continues the study, or pass the function: "
                "hp.load(name, metric=..., metrics=[...])."
            )
        )
    else:
        try:
            return imported(path)
        except (ImportError, AttributeError) as error:
            missing.append(
                UsageError(
                    f"The study measures {path}, which cannot be imported here ({error}). Run it from where its module "
                    "can be found, or pass metric= and metrics= to hp.load."
                )
            )
    return StoredMetric(name, direction=Direction(description.directions.get(name, Direction.MAXIMIZE)))


def _early_stopping(values: Any) -> Any:
    from hpsearch.policy.early_stopping import EarlyStopping

    return None if values is None else EarlyStopping(**values)


def _from_text(text: str) -> Any:
    """Return a sampler or pruner from its name; an object of Optuna's has to be made by the script again.

    A name that nothing here has given to a sampler or pruner stands for such an object: it is enough to read the study.
    """
    from hpsearch.policy.rule_names import FORMER_SAMPLERS, PRUNERS, SAMPLERS, describes_object

    match = re.fullmatch(RESTORED, text)
    if not match or match["kind"] is None:
        is_there = text in (*SAMPLERS, *FORMER_SAMPLERS, *PRUNERS) or describes_object(text)
        return text if is_there else f"<{text}>"
    from hpsearch.policy.racing import Racing
    from hpsearch.policy.successive_halving import SuccessiveHalving
    from hpsearch.space import Grid

    kinds: dict[str, Any] = {"Grid": Grid, "Racing": Racing, "SuccessiveHalving": SuccessiveHalving}
    pairs = (pair.split("=") for pair in match["values"].split(", ") if pair)
    return kinds[match["kind"]](**{name: ast.literal_eval(value) for name, value in pairs})


def _splitter(description: Description, place: Path) -> Any:
    """Return cv as it was given; in the place of a splitter object, the folds that it made."""
    from hpsearch.data.folds import Folds, GivenValidation, Holdout

    if (stored := _folds(place)) is not None and stored.digest == description.folds:
        return stored
    if description.cv == repr(GivenValidation()):
        return None
    number = re.fullmatch(r"<?(\d+)>?", description.cv)
    if number:
        return int(number[1])
    holdout = re.fullmatch(r"Holdout\(test_size=([0-9.e-]+)\)", description.cv)
    if holdout:
        return Holdout(float(holdout[1]))
    folds = place / FOLDS_FILE
    if not folds.exists():
        raise UsageError(
            f"The study was made with cv={description.cv}, and the folds that it made are not in {folds}. Run the "
            "study's own script again; that continues it."
        )
    return Folds.read(folds)
