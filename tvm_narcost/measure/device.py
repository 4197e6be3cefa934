"""Whether this machine is the device that a profile is of: what is measured elsewhere is not that profile's latency."""

from hardware_profiles import HardwareProfile, ProfileError, list_profiles, load_profile
from hardware_profiles.probe import DeviceDescription, describe_device, differences
from tvm_narcost.errors import MeasurementError

__all__ = ["device_differences", "profiles_of_this_device", "require_device"]


def device_differences(profile: HardwareProfile) -> tuple[str, ...]:
    """What tells this machine from the device of a profile, a line each; nothing where it may be the same.

    A system that does not tell what it is cannot be compared, and is taken for the profile's.
    """
    here = _describe()
    return () if here is None else differences(profile.device, here)


def require_device(profile: HardwareProfile) -> None:
    """Refuse a profile of another device.

    Raises:
        MeasurementError: CPU, instruction sets or caches differ.
    """
    found = device_differences(profile)
    if found:
        raise MeasurementError(
            f"profile {profile.id}: this machine is another device ({'; '.join(found)}), expected the one that the "
            f"profile is of; make its own with `narcost profiles probe --runtime {profile.runtime.name} --out FILE`"
        )


def profiles_of_this_device(like: HardwareProfile) -> tuple[HardwareProfile, ...]:
    """Those at hand, shipped or the user's own, that this machine may be the device of, by id.

    Args:
        like: its runtime, with as many threads, is what they are to be of.

    Returns:
        None of them where the system does not tell what it is.
    """
    here, wanted = _describe(), (like.runtime.name, like.runtime.threads)
    if here is None:
        return ()
    return tuple(
        profile
        for profile in map(load_profile, list_profiles())
        if (profile.runtime.name, profile.runtime.threads) == wanted and not differences(profile.device, here)
    )


def _describe() -> DeviceDescription | None:
    try:
        return describe_device()
    except ProfileError:  # not Linux: its profile was written by hand
        return None
