"""Which devices are taken out, from the errors that were met on them."""

from hpsearch.runtime.pools.failing_devices import FailingDevices


def test_two_errors_take_a_device_out_whatever_met_them() -> None:
    for configs in (("a", "b"), ("a", "a"), ("", "")):
        devices = FailingDevices()
        assert not devices.note("cuda:1", configs[0])
        assert devices.note("cuda:1", configs[1])


def test_what_a_config_met_on_two_devices_counts_on_neither() -> None:
    devices = FailingDevices()
    for device in ("cuda:0", "cuda:1") * 2:
        assert not devices.note(device, "a")
    assert not devices.note("cuda:0", "b")
    assert devices.note("cuda:0", "c")


def test_one_config_takes_out_one_device_at_most() -> None:
    devices = FailingDevices()
    assert [devices.note(device, "a") for device in ("cuda:0", "cuda:0", "cuda:1", "cuda:1", "cuda:2")] == [
        False, True, False, False, False,
    ]  # fmt: skip


def test_models_that_load_nowhere_take_every_device_out() -> None:
    devices = FailingDevices()
    assert [devices.note(device, "") for device in ("cuda:0", "cuda:1") * 2] == [False, False, True, True]
