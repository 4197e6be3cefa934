"""What the operating system knows of this device, read without measuring anything.

Linux only: ``/proc/cpuinfo`` and the cache folders of ``/sys``, with ``getconf`` where a container hides those.
"""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hardware_profiles.errors import ProfileError
from hardware_profiles.profile import DeviceFacts

__all__ = ["DeviceDescription", "allowed_cores", "describe_device", "differences"]

_ISA = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "sve", "sve2", "i8mm", "bf16",
)  # fmt: skip
_VECTOR_BYTES = (("avx512f", 64), ("avx", 32), ("sse4_2", 16), ("asimd", 16))  # widest first
_GETCONF = {"l1d": "LEVEL1_DCACHE_SIZE", "l2": "LEVEL2_CACHE_SIZE", "l3": "LEVEL3_CACHE_SIZE"}
_COMPARED = ("cpu_model", "vector_bytes", "l1d_bytes", "l2_bytes")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """The part of DeviceFacts that needs no measurement; ``name`` is a suggestion made from the CPU's family."""

    name: str
    cpu_model: str
    isa: tuple[str, ...]
    cores: int
    vector_bytes: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int


def allowed_cores() -> tuple[int, ...]:
    """The cores that this process may run on, ascending.

    Raises:
        ProfileError: the system cannot say.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise ProfileError("allowed cores: this system has no sched_getaffinity, expected Linux; probe on Linux")
    return tuple(sorted(os.sched_getaffinity(0)))


def _run_getconf(variable: str) -> str:
    try:
        done = subprocess.run(["getconf", variable], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def describe_device(root: Path = Path("/"), getconf: Callable[[str], str] = _run_getconf) -> DeviceDescription:
    """Describe this device.

    Args:
        root: where ``proc`` and ``sys`` lie; another folder in tests.
        getconf: gives the value of a variable of ``getconf``, or an empty text.

    Raises:
        ProfileError: names every fact that cannot be known here.
    """
    entries = _read_cpuinfo(root)
    first = entries[0] if entries else {}
    flags = set((first.get("flags") or first.get("Features") or "").split())
    caches = _read_caches(root, getconf)
    vector_bytes = next((width for flag, width in _VECTOR_BYTES if flag in flags), 0)
    cpu_model = first.get("model name") or _device_tree_model(root)
    known = {
        "cpu_model (/proc/cpuinfo: model name)": cpu_model,
        "vector_bytes (/proc/cpuinfo: flags)": vector_bytes,
        "cores (/proc/cpuinfo: processor)": len(entries),
        "l1d_bytes (/sys/devices/system/cpu/*/cache, getconf)": caches.get("l1d", 0),
        "l2_bytes (/sys/devices/system/cpu/*/cache, getconf)": caches.get("l2", 0),
    }
    unknown = [name for name, value in known.items() if not value]
    if unknown:
        raise ProfileError(
            f"device facts: this system does not tell {', '.join(unknown)}, expected Linux with /proc and /sys; "
            "copy a shipped profile (`narcost profiles show ID`) and fill these in by hand"
        )
    return DeviceDescription(
        name=_suggest_name(first, cpu_model, flags),
        cpu_model=cpu_model,
        isa=tuple(flag for flag in _ISA if flag in flags),
        cores=_count_cores(entries),
        vector_bytes=vector_bytes,
        l1d_bytes=caches["l1d"],
        l2_bytes=caches["l2"],
        l3_bytes=caches.get("l3", 0),
    )


def differences(facts: DeviceFacts, here: DeviceDescription) -> tuple[str, ...]:
    """What tells a device from that of a profile, a line each; nothing where it may be the same one.

    Cores and the last cache are left out: a virtual machine has what part of them it was given.
    """
    found = []
    lacks, has = sorted(set(facts.isa) - set(here.isa)), sorted(set(here.isa) - set(facts.isa))
    if lacks or has:
        found.append("isa " + ", ".join([*(f"without {one}" for one in lacks), *(f"with {one}" for one in has)]))
    for name in _COMPARED:
        of_profile, of_here = getattr(facts, name), getattr(here, name)
        if of_profile != of_here:
            found.append(f"{name} {of_here!r} instead of {of_profile!r}")
    return tuple(found)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _read_cpuinfo(root: Path) -> list[dict[str, str]]:
    """One dict a processor; blocks without a processor number (ARM's closing one) are left out."""
    blocks = [
        {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}
        for block in _read_text(root / "proc/cpuinfo").split("\n\n")
    ]
    return [block for block in blocks if "processor" in block]


def _device_tree_model(root: Path) -> str:
    return _read_text(root / "proc/device-tree/model")  # ARM boards name themselves here


def _count_cores(entries: list[dict[str, str]]) -> int:
    """Physical cores: hyper-threads share a (package, core) pair; where none is told each processor is one."""
    if any("core id" not in entry for entry in entries):
        return len(entries)
    return len({(entry.get("physical id", "0"), entry["core id"]) for entry in entries})


def _read_caches(root: Path, getconf: Callable[[str], str]) -> dict[str, int]:
    """Bytes of ``l1d``, ``l2`` and ``l3`` as the first processor sees them; a level that nobody tells is left out."""
    caches: dict[str, int] = {}
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level = _read_text(folder / "type"), _read_text(folder / "level")
        size = re.fullmatch(r"(\d{1,9})([KMG]?)", _read_text(folder / "size"))
        if size and kind in ("Data", "Unified"):
            caches["l1d" if level == "1" else f"l{level}"] = int(size[1]) * _UNITS[size[2]]
    for name, variable in _GETCONF.items():
        if not caches.get(name) and (text := getconf(variable)).isdecimal() and int(text) > 0:
            caches[name] = int(text)
    return caches


def _suggest_name(entry: dict[str, str], cpu_model: str, flags: set[str]) -> str:
    words = re.sub(r"\(.*?\)|processor|cpu|@.*|\d+-core", " ", cpu_model.lower())
    name = "-".join(re.findall(r"[a-z0-9]+", words))[:48].strip("-") or "device"
    if entry.get("vendor_id") == "AuthenticAMD":
        # family 25 is Zen 3 and Zen 4, which AVX-512 tells apart
        generation = {"23": "zen2", "25": "zen4" if "avx512f" in flags else "zen3", "26": "zen5"}
        suffix = generation.get(entry.get("cpu family", ""), "")
        return f"{name}-{suffix}" if suffix else name
    return name
