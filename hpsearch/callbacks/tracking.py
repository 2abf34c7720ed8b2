"""What the callbacks of tracking services have in common: each ended trial becomes one run there, once."""

import abc
import importlib
from pathlib import Path
from types import ModuleType

from hpsearch.callbacks.sender import Sender
from hpsearch.callbacks.trial_record import StudyRecord, TrackedStudy, TrialRecord, study_record, trial_record
from hpsearch.errors import UsageError
from hpsearch.records import Trial, digest


class Tracking(abc.ABC):
    """A callback that shows a study's trials on a tracking service.

    It never holds a study up and never ends one. A thread of its own sends; what the service does not take now is sent
    later, at the latest when the study's script runs again. (`hpsearch resume` knows no callbacks.) Trials that ended
    unannounced, before a crash for instance, are sent then, too. However often a study runs, each trial has one run on
    the service. A file below `callbacks` in the study's folder says which trials were sent; without it the service is
    asked.
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
        """Where on the service runs go; there is one file of what was sent for each."""

    @abc.abstractmethod
    def send(self, record: TrialRecord) -> None:
        """Make a run of a trial; called in the sender's thread. An exception is a warning, and it is tried again."""

    @abc.abstractmethod
    def finish(self, record: StudyRecord) -> None:
        """Show the state of the study when its run is over; called as `send` is."""

    def __call__(self, study: TrackedStudy, trial: Trial) -> None:
        """Send all ended trials that were not sent yet, this one among them."""
        self._offer(study)

    def on_end(self, study: TrackedStudy) -> None:
        """Send what is missing, and the state of the study."""
        history = study.store().history
        if history.finished():
            self._offer(study).finish(study_record(study, history))
        self._senders.pop(study.folder, None)

    def _offer(self, study: TrackedStudy) -> Sender:
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
