"""Which devices of a pool fail, by the errors that their workers have met."""

from dataclasses import dataclass, field

ERRORS_LIMIT = 2
"""How many errors of its own a device may have before it is taken out."""


@dataclass
class FailingDevices:
    """Counts the errors of devices.

    What a run meets on two devices is the run's, not theirs: it takes no device out, and gives one back that it took
    out before.
    """

    _met: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # by device, (run or "", error)

    def note(self, device: str, run: str, error: str) -> None:
        """Note an error that a run met on a device; `run` is "" where the device could not even load a model."""
        self._met.setdefault(device, []).append((run, error))

    def out(self) -> dict[str, str]:
        """Return the devices to take out, and the last error of each."""
        own = {device: [error for run, error in met if not self._is_the_runs(run)] for device, met in self._met.items()}
        return {device: errors[-1] for device, errors in own.items() if len(errors) >= ERRORS_LIMIT}

    def _is_the_runs(self, run: str) -> bool:
        return run != "" and sum(any(run == other for other, _ in met) for met in self._met.values()) > 1


def taken_out(device: str, error: str) -> str:
    """Return in words that a device was taken out of the pool."""
    return (
        f"{device} was taken out of the study after {ERRORS_LIMIT} errors of its own, the last of them: {error}. "
        f"What trained there goes on from its last checkpoint. {_REMEDY}"
    )


def still_out(device: str, error: str) -> str:
    """Return in words, as the study ends, that a device was taken out."""
    return f"{device} was not used to the end: it was taken out after {ERRORS_LIMIT} errors ({error}). {_REMEDY}"


_REMEDY = (
    "Look at the device (`nvidia-smi`, `dmesg | grep Xid`); a reset or a restart of the machine may help. The next "
    "call tries it again."
)


def broken_process(device: str, error: str) -> str:
    """Return in words that the calling process cannot use its device any more."""
    return (
        f"{device} answers this process with an error, and will until the process ends: {error}. All that was recorded "
        "is kept. Start Python again and run the study again, best without devices='inline': workers of their own are "
        "replaced after such an error."
    )
