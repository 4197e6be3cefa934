"""Device and runtime facts: the TOML files, their loader, the probe that fills one in."""

from hardware_profiles.document import profile_to_toml
from hardware_profiles.errors import ProfileError
from hardware_profiles.load import list_profiles, load_profile
from hardware_profiles.profile import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts

__all__ = [
    "DeviceFacts",
    "HardwareProfile",
    "MeasurementProtocol",
    "ProfileError",
    "RuntimeFacts",
    "list_profiles",
    "load_profile",
    "profile_to_toml",
]
