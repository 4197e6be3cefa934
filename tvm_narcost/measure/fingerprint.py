"""Fingerprint: what a measurement needs beside it to be understood on another day."""

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hardware_profiles import HardwareProfile
from tvm_narcost.measure.pinning import allowed_cores

__all__ = ["fingerprint"]

_ISA = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "neon", "asimd", "asimdhp", "asimddp", "sve", "sve2", "i8mm", "bf16",
)  # fmt: skip
_UNKNOWN = "unknown"


def fingerprint(profile: HardwareProfile) -> tuple[tuple[str, str], ...]:
    """The environment of this moment as sorted (name, text) pairs; what cannot be read is ``unknown``.

    Call it while the process is pinned: ``pinned_cores`` are the cores that it may run on now, or ``unpinned`` when
    those are not as many as the profile's threads.
    """
    cores = allowed_cores()
    governor = _read_text(f"/sys/devices/system/cpu/cpu{cores[-1] if cores else 0}/cpufreq/scaling_governor")
    facts = {
        **_cpu_facts(),
        "cores": str(os.cpu_count() or _UNKNOWN),
        "governor": governor.strip() or _UNKNOWN,
        "kernel": f"{platform.system()} {platform.release()}",
        "load_average": _load_average(),
        "pinned_cores": ",".join(map(str, cores)) if len(cores) == profile.runtime.threads else "unpinned",
        "python": platform.python_version(),
        "threads": str(profile.runtime.threads),
        "narcost": _version("tvm-narcost"),
        "numpy": _version("numpy"),
        "onnx": _version("onnx"),
        profile.runtime.name: _version({"tvm": "apache-tvm"}.get(profile.runtime.name, profile.runtime.name)),
    }
    return tuple(sorted(facts.items()))


def _cpu_facts() -> dict[str, str]:
    """CPU model, the extensions that matter, and a digest of all flags (they differ between hypervisors)."""
    fields: dict[str, str] = {}
    for line in _read_text("/proc/cpuinfo").splitlines():
        name, separator, value = line.partition(":")
        if separator:
            fields.setdefault(name.strip(), value.strip())
    flags = sorted(set((fields.get("flags") or fields.get("Features") or "").split()))
    family = "-".join(fields[name] for name in ("cpu family", "model", "stepping") if name in fields)
    return {
        "cpu_model": fields.get("model name") or platform.processor() or _UNKNOWN,
        "cpu_family_model_stepping": family or _UNKNOWN,
        "isa": " ".join(name for name in _ISA if name in flags) or _UNKNOWN,
        "flags_digest": hashlib.sha256(" ".join(flags).encode()).hexdigest()[:16] if flags else _UNKNOWN,
    }


def _load_average() -> str:
    if not hasattr(os, "getloadavg"):  # Windows
        return _UNKNOWN
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:  # not Linux, or a virtual machine without frequency control
        return ""


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return _UNKNOWN
