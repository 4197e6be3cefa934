"""Schedules for x86 CPUs: dlight rules whose tiles follow from the HardwareProfile."""

from tvm_narcost.hook.schedules.apply import cpu_rules, schedule

__all__ = ["cpu_rules", "schedule"]
