"""What callbacks of tracking services share: each ended trial becomes one run there, once."""

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

    It never delays or ends a study: its own thread sends. What the service does not take now is sent later, at the
    latest when the study's script runs again (`hpsearch resume` has no callbacks), together with trials that ended
    just before a crash. However often a study runs, each trial has one run on the service. A file below `callbacks` in
    the study's folder says which trials were sent; without it the service is asked.
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
        """Where on the service the runs go; each destination has its own file of what was sent."""

    @abc.abstractmethod
    def send(self, record: TrialRecord) -> None:
        """Make a run of a trial, in the sender's thread. An exception becomes a warning, and a later attempt."""

    @abc.abstractmethod
    def finish(self, record: StudyRecord) -> None:
        """Show the state of the study when its run is over, as `send` does a trial."""

    def __call__(self, study: TrackedStudy, trial: Trial) -> None:
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
    """Import an optional package; raise UsageError, which says how to install it, where it is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{callback} needs the package {error.name}, which is not installed here. Install it with: "
            f'pip install "hpsearch[{extra}]"'
        ) from error
