"""Device and runtime facts: the TOML files, their loader, the probe that fills one in."""

from hardware_profiles.profile import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts

__all__ = ["DeviceFacts", "HardwareProfile", "MeasurementProtocol", "RuntimeFacts"]
