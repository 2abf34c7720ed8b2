"""What is kept of a study: its database, and its description and folds in its folder."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hpsearch.data.atomic_write import replaced_file, writing
from hpsearch.errors import (
    DataError,
    NumericsError,
    StoreError,
    StudyChangedError,
    StudyExistsError,
    StudyNotFoundError,
)
from hpsearch.plan.changes import difference
from hpsearch.plan.description import EARLIER_FORMAT, Description
from hpsearch.plan.paths import DATABASE_FILE, DESCRIPTION_FILE, FOLDS_FILE, TARGETS_FOLDER, lost_database
from hpsearch.plan.plan import Plan
from hpsearch.plan.run_keys import refit_digest, with_attention
from hpsearch.plan.stored_keys import stored_key
from hpsearch.plan.stored_rows import OWN, keep_targets, stored_rows
from hpsearch.policy.budget import Ending
from hpsearch.records import Fit, Fits, Run, Trial

if TYPE_CHECKING:
    from hpsearch.data.ragged import Rows
    from hpsearch.records.store import Store
    from hpsearch.training.numerics import Numerics


class Record:
    """Opens what is kept of a study, checks it against the plan, and keeps what is added to it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._store: Store | None = None

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        from hpsearch.records.urls import sqlite_url

        return self._plan.storage or sqlite_url(self._plan.folder / DATABASE_FILE)

    # ------------------------------------------------------------------ opening

    @property
    def store(self) -> "Store":
        """The study's store, opened; its history can be read while another process runs the study.

        Raises:
            StudyNotFoundError: The study has not been run.
        """
        from hpsearch.records.store import Store

        if self._store is None:
            if self._plan.name not in Store.names(self.url):
                raise StudyNotFoundError(
                    f"The study {self._plan.name!r} has not been run yet, so there is nothing to read in "
                    f"{self._plan.folder}. Call study.run(...) first."
                )
            self._store = Store.open(self.url, self._plan.name)
        return self._store

    def open_or_create(self) -> "Store":
        """Return the study's store; the plan has been checked, for this writes."""
        from hpsearch.records.store import Store

        plan = self._plan
        if self._store is None and plan.name not in Store.names(self.url):
            if (plan.folder / DESCRIPTION_FILE).is_file():
                raise lost_database(plan.name, plan.folder, plan.storage)
            with writing(plan.folder, "folder="):
                plan.folder.mkdir(parents=True, exist_ok=True)
            self._snapshot()
            keep_targets(plan.prepared, plan.folder / TARGETS_FOLDER)
            try:
                self._store = Store.create(self.url, plan.name, Description.of(plan).to_json(), plan.aim.direction)
            except StudyExistsError:  # another process has made it just now; its lease says who may run it
                self._store = Store.open(self.url, plan.name)
        return self.store

    def _snapshot(self) -> None:
        """Keep with the study what lies in memory only (a DataFrame), so that it can be loaded without its script."""
        self._plan.task = self._plan.task.snapshot(self._plan.folder / "data")

    @property
    def is_writable(self) -> bool:
        """Whether this process may write into the study's folder, or make it."""
        folder = self._plan.folder
        return os.access(next(place for place in (folder, *folder.parents) if place.exists()), os.W_OK)

    def require_writable(self) -> None:
        """Raise StoreError where what is computed could not be kept with the study."""
        if not self.is_writable:
            raise StoreError(
                f"{self._plan.folder} may not be written to, so what is computed could not be kept. Copy the study's "
                "folder to where you may write, or have its rights changed."
            )

    # ------------------------------------------------------------------ the description

    @property
    def description(self) -> Description:
        """What the study is, as it is stored."""
        return Description.from_json(self.store.description, self.store.place)

    def keep(self, description: Description) -> None:
        """Store a description in the database and beside it as study.json."""
        self.store.replace_description(description.to_json())
        description.write(self._plan.folder / DESCRIPTION_FILE)

    def settle(self, goal: Mapping[str, Any]) -> None:
        """Check that the study is still the same, and keep its description and folds where a person can read them.

        Args:
            goal: Arguments of this run, for the next `resume`.
        """
        self.require_unchanged()
        self._snapshot()
        if not self._keeps_folds:
            self._plan.folds.write(self._plan.folder / FOLDS_FILE)
        keep_targets(self._plan.prepared, self._plan.folder / TARGETS_FOLDER)
        stored = self.description
        described = Description.of(self._plan, stored.numerics, goal, stored.test, stored.remarks)
        self.keep(replace(described, fits=stored.fits, reproducible=stored.reproducible))

    @property
    def _keeps_folds(self) -> bool:
        from hpsearch.data.folds import Folds

        try:
            return Folds.read(self._plan.folder / FOLDS_FILE).digest == self._plan.folds.digest
        except DataError:  # they are missing or damaged
            return False

    def read_rows(self) -> None:
        """Have the plan read what the study keeps of its rows, if it does, and if they are those of the plan's task."""
        plan, stored = self._plan, self.description
        if plan.stored is None and not plan.is_prepared and plan.task.is_described_by(stored.task):
            rows = stored_rows(stored.rows, plan.folder / TARGETS_FOLDER)
            if rows is not None and (set(rows) == ({OWN} if plan.choices is None else set(plan.choices.sources))):
                plan.read_from(rows)

    def require_trainable(self) -> None:
        """Prepare the rows, and raise StudyChangedError where the study that is read would not be trained again."""
        _ = self._plan.prepared
        self.require_unchanged()

    def require_unchanged(self) -> None:
        """Raise StudyChangedError where this is no longer the study that is stored under its name.

        Of a study that is only read its data are not asked for.
        """
        stored = self.description
        changed = difference(stored, Description.of(self._plan).as_stored(self._plan, stored))
        if not changed:
            return
        message = (
            f"The study {self._plan.name!r} in {self._plan.folder} was made with other settings: {changed}. Give "
            "this study another name, or continue with the settings it began with."
        )
        if stored.format == EARLIER_FORMAT and self._plan.space.is_shipped:
            message += " hpsearch 0.1.0 had other values in this shipped space; `hpsearch resume` continues with those."
        raise StudyChangedError(message)

    def keep_ending(self, ending: Ending) -> None:
        """Keep what has ended the run that settled the study."""
        self.keep(replace(self.description, ended_by=asdict(ending)))

    # ------------------------------------------------------------------ numerics and test scores

    def numerics(self, fit: Fit | None = None) -> "Numerics":
        """Return the numerics that the study was run with, or those of its runs that were trained in such a fit.

        Raises:
            NumericsError: It has not been run.
        """
        from hpsearch.training.numerics import Numerics

        stored = self.description.numerics
        if stored is None:
            raise NumericsError(f"The study {self._plan.name!r} has no numerics yet: run it first.")
        with stored_key("numerics", self.store.place):
            return Numerics.from_dict(stored).for_fit(fit)

    def keep_numerics(self, numerics: "Numerics", remarks: tuple[str, ...], fits: Fits) -> None:
        """Keep the numerics that the study is run with from now on, what is to be said of them, and how it fits."""
        kept = replace(self.description, numerics=numerics.to_dict(), remarks=remarks, fits=fits.to_dict())
        self.keep(kept)

    def numerics_for(self, trial: Trial) -> "Numerics":
        """Return the numerics that a trial was run with: the study's, its own model's attention, its fit."""
        return with_attention(self._plan, self.numerics(trial.fit), self._plan.task.model_choice(trial.config))

    def refit_digest(self, trial: Trial) -> str:
        """Return a digest of all that a refit of a trial, and its test scores, depend on besides its configuration."""
        return refit_digest(self._plan, self.numerics(), trial.config, trial.fit)

    # ------------------------------------------------------------------ memory

    @property
    def fits(self) -> Fits:
        """How its configurations fit into memory, as far as that is known; nothing is of earlier versions' studies."""
        with stored_key("fits", self.store.place):
            return self.description.known_fits

    def keep_fits(self, fits: Fits, trials: Mapping[int, Sequence[Run]] = MappingProxyType({})) -> None:
        """Keep how its configurations fit into memory, and the runs of trials that are trained otherwise from now on.

        Both are written at once.
        """
        kept = replace(self.description, fits=fits.to_dict())
        self.store.replace_runs(kept.to_json(), trials)
        kept.write(self._plan.folder / DESCRIPTION_FILE)

    @property
    def test_scores(self) -> dict[str, dict[str, float]]:
        """The scores on the test rows that are kept, by configuration; NaN where a metric is undefined on them."""
        return {
            key: {name: math.nan if value is None else value for name, value in scores.items()}
            for key, scores in (self.description.test or {}).items()
        }

    def write_outputs(self, path: Path, rows: "Rows") -> None:
        """Write what is kept of a model's outputs into a file of the study's folder."""
        from hpsearch.data.ragged import to_bytes

        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as file:
            file.write(to_bytes(rows))

    def keep_test_scores(self, key: str, scores: Mapping[str, float]) -> None:
        """Keep a configuration's scores on the test rows with the study: they are not computed a second time.

        JSON has no NaN: what is undefined there is null.
        """
        is_running = self.store.held  # a callback asks, in the process that runs the study
        self.store.acquire()
        try:
            stored = self.description
            kept = {name: None if math.isnan(value) else value for name, value in scores.items()}
            self.keep(replace(stored, test={**(stored.test or {}), key: kept}))
        finally:
            if not is_running:
                self.store.release()
