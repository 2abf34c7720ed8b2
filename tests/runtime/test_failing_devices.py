"""Which devices are taken out, from the errors that were met on them."""

from hpsearch.runtime.pools.failing_devices import FailingDevices


def test_two_errors_take_a_device_out_whatever_met_them() -> None:
    for runs in (("a", "b"), ("a", "a"), ("", "")):
        devices = FailingDevices()
        devices.note("cuda:1", runs[0], "first")
        assert devices.out() == {}
        devices.note("cuda:1", runs[1], "second")
        assert devices.out() == {"cuda:1": "second"}


def test_what_a_run_met_on_two_devices_counts_on_neither() -> None:
    devices = FailingDevices()
    for device in ("cuda:0", "cuda:0", "cuda:1"):
        devices.note(device, "a", "x")
    assert devices.out() == {}
    devices.note("cuda:0", "b", "y")
    assert devices.out() == {}
    devices.note("cuda:0", "c", "z")
    assert devices.out() == {"cuda:0": "z"}


def test_models_that_load_nowhere_take_every_device_out() -> None:
    devices = FailingDevices()
    for device in ("cuda:0", "cuda:1") * 2:
        devices.note(device, "", "no GPU")
    assert set(devices.out()) == {"cuda:0", "cuda:1"}


def test_two_failing_devices_beside_good_ones_are_both_taken_out() -> None:
    """Runs of one config, on folds of their own, come to the same device again: it is idle first."""
    devices = FailingDevices()
    for device, fold in (("cuda:0", "a/0"), ("cuda:1", "a/1")) * 2:
        devices.note(device, fold, "x")
    assert set(devices.out()) == {"cuda:0", "cuda:1"}


def test_a_config_that_fails_on_any_device_costs_none_of_them() -> None:
    """Each of its runs takes out a device at first, and gives it back as it errs on another one."""
    devices = FailingDevices()
    for fold, (first, second) in enumerate([("cuda:0", "cuda:1"), ("cuda:1", "cuda:2"), ("cuda:2", "cuda:0")]):
        devices.note(first, f"a/{fold}", "x")
        devices.note(first, f"a/{fold}", "x")
        assert devices.out() == {first: "x"}
        devices.note(second, f"a/{fold}", "x")
        assert devices.out() == {}
