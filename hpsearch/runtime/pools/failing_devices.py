"""Which devices of a pool fail, by the errors that their workers have met."""

from dataclasses import dataclass, field

ERRORS_LIMIT = 2
"""How many errors of its own a device may have before it is taken out."""


@dataclass
class FailingDevices:
    """Counts the errors of devices. What a config meets on two devices is the config's, not theirs."""

    _met: dict[str, list[str]] = field(default_factory=dict)  # by device, the config of each error

    def note(self, device: str, config: str) -> bool:
        """Note an error that a config met on a device; return whether that is to be taken out now.

        `config` is "" where the device could not even load a model.
        """
        self._met.setdefault(device, []).append(config)
        return sum(not self._is_the_configs(each) for each in self._met[device]) >= ERRORS_LIMIT

    def _is_the_configs(self, config: str) -> bool:
        return config != "" and sum(config in met for met in self._met.values()) > 1


def taken_out(device: str, error: str, left: int) -> str:
    """Return in words that a device was taken out of the pool, which has `left` workers."""
    return (
        f"{device} was taken out of the study after {ERRORS_LIMIT} errors of its own, the last of them: {error}. "
        f"{_continues(left)} {_REMEDY}"
    )


def still_out(device: str, error: str) -> str:
    """Return in words, as the study ends, that a device was taken out."""
    return f"{device} was not used to the end: it was taken out after {ERRORS_LIMIT} errors ({error}). {_REMEDY}"


def _continues(left: int) -> str:
    if not left:
        return "No device is left, so the study is paused; all that was recorded is kept."
    workers = "one worker" if left == 1 else f"{left} workers"
    return f"The study continues with {workers}; what trained there goes on from its last checkpoint."


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
