"""What the callbacks of tracking services have in common: each ended trial becomes one run there, once."""

import abc
import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hpsearch.callbacks.sender import Sender
from hpsearch.callbacks.trial_record import StudyRecord, TrialRecord, study_record, trial_record
from hpsearch.errors import UsageError
from hpsearch.records import Trial, digest

if TYPE_CHECKING:
    from hpsearch.study import Study


class Tracking(abc.ABC):
    """A callback that shows a study's trials on a tracking service.

    It never holds a study up and never ends one: what is sent goes through a thread of its own, and what a service
    does not take now is sent later, at the latest when the study is run again from its script. (`hpsearch resume`
    knows no callbacks.) Trials that ended while nobody was told, before a crash for instance, are sent then, too.
    A study may be run over and over: a trial has one run there. Which were sent is kept in the study's folder, below
    `callbacks`; without that file the service is asked.
    """

    def __init__(self) -> None:
        self._senders: dict[Path, Sender] = {}

    @property
    @abc.abstractmethod
    def service(self) -> str:
        """The service's name, for people."""

    @property
    @abc.abstractmethod
    def destination(self) -> str:
        """Where on the service runs go: what was sent is kept by it."""

    @abc.abstractmethod
    def send(self, record: TrialRecord) -> None:
        """Make a run of a trial, in a thread of its own. What it raises is a warning, and tried again."""

    @abc.abstractmethod
    def finish(self, record: StudyRecord) -> None:
        """Show how the study stands when it is run no longer, as `send` does."""

    def __call__(self, study: "Study", trial: Trial) -> None:
        """Send all ended trials that were not sent yet, this one among them."""
        self._offer(study)

    def on_end(self, study: "Study") -> None:
        """Send what is missing, and how the study stands."""
        history = study.store().history
        if history.finished():
            self._offer(study).finish(study_record(study, history))
        self._senders.pop(study.folder, None)

    def _offer(self, study: "Study") -> Sender:
        sender = self._senders.get(study.folder)
        if sender is None:
            name = f"{self.service.lower().replace('&', 'and')}-{digest(self.destination)[:8]}.json"
            sender = Sender(self.service, self.send, self.finish, study.folder / "callbacks" / name)
            self._senders[study.folder] = sender
        history = study.store().history
        for trial in history.finished():
            if not sender.was_offered(trial.number):
                sender.offer(trial_record(study, history, trial))
        return sender


def required_package(name: str, extra: str, callback: str) -> ModuleType:
    """Import an optional package.

    Raises:
        UsageError: It is not installed; the message says how to.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{callback} needs the package {error.name}, which is not installed here. Install it with: "
            f'pip install "hpsearch[{extra}]"'
        ) from error
