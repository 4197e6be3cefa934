"""A profile as a TOML document: reading checks every field and names all offenders at once; writing is its inverse."""

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import tomli_w

from hardware_profiles.errors import ProfileError
from hardware_profiles.profile import DeviceFacts, HardwareProfile, MeasurementProtocol, RuntimeFacts

__all__ = ["SCHEMA_VERSION", "check_device_name", "profile_from_toml", "profile_to_toml"]

SCHEMA_VERSION = 1

_DEVICE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PROFILE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\.[a-z0-9][a-z0-9_-]{0,63}")
_LEVELS = ("l1", "l2", "l3", "memory")
_LARGEST_INT = 2**53  # beyond it a float no longer holds every integer, and no honest fact is that large
_LONGEST_TEXT = 1024

Reader = Callable[[object], Any]  # raises ValueError with "expected ...", or _BadEntriesError


class _BadEntriesError(Exception):
    """Entries of a free table that are wrong, each as ``key: got ..., expected ...``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > _LONGEST_TEXT:
        raise ValueError(f"expected a text of 1 to {_LONGEST_TEXT} characters")
    return value


def _text_or_empty(value: object) -> str:
    return "" if value == "" else _text(value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("expected a list of texts")
    return tuple(_text(item) for item in value)


def _match(pattern: re.Pattern[str]) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"expected a text that matches {pattern.pattern}")
        return value

    return read


def _one_of(*choices: str) -> Reader:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(value)

    return read


def _int_from(low: int) -> Reader:
    def read(value: object) -> int:
        # bool is a subclass of int, and `cores = true` is a mistake
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= _LARGEST_INT:
            raise ValueError(f"expected an integer of at least {low}")
        return value

    return read


def _number(*, zero: bool) -> Reader:
    expected = "expected a finite number, " + ("zero or above" if zero else "above zero")

    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > _LARGEST_INT:
            raise ValueError(expected)
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise ValueError(expected)
        return float(value)

    return read


def _target(value: object) -> str:
    if value == "":
        return ""
    try:
        document = json.loads(_text(value))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ValueError('expected TVM\'s JSON form, e.g. {"kind":"llvm","mcpu":"znver5"}')
    return str(value)


def _table_of(reader: Reader) -> Reader:
    """A table with free keys, as (key, value) pairs in the file's order; each bad key is named."""

    def read(value: object) -> tuple[tuple[str, Any], ...]:
        if not isinstance(value, Mapping):
            raise ValueError("expected a table")
        pairs, problems = [], []
        for key, item in value.items():
            try:
                pairs.append((_text(key), reader(item)))
            except ValueError as error:
                problems.append(f"{_key(key)}: got {_shown(item)}, {error}")
        if problems:
            raise _BadEntriesError(problems)
        return tuple(pairs)

    return read


def _sorted_table_of(reader: Reader) -> Reader:
    read_table = _table_of(reader)
    return lambda value: tuple(sorted(read_table(value)))


_DEVICE: dict[str, Reader] = {
    "name": _match(_DEVICE_NAME),
    "cpu_model": _text,
    "isa": _texts,
    "cores": _int_from(1),
    "vector_bytes": _int_from(1),
    "l1d_bytes": _int_from(1),
    "l2_bytes": _int_from(1),
    "l3_bytes": _int_from(0),  # a device may have none
    "peak_gflops": _table_of(_number(zero=False)),
    "bandwidth_gb_s": _table_of(_number(zero=False)),
    "call_overhead_us": _number(zero=True),
}
_RUNTIME: dict[str, Reader] = {
    "name": _one_of("onnxruntime", "openvino", "tvm"),
    "version": _text,
    "threads": _int_from(1),
    "planner": _one_of("onnxruntime", "openvino", "tvm", "rules"),
    "options": _sorted_table_of(_text_or_empty),
    "tvm_target": _target,
}
_PROTOCOL: dict[str, Reader] = {
    "warmup_s": _number(zero=True),
    "warmup_runs": _int_from(0),
    "min_samples": _int_from(1),
    "max_samples": _int_from(1),
    "budget_s": _number(zero=False),
    "stable_iqr_ratio": _number(zero=False),
    "noisy_iqr_ratio": _number(zero=False),
    "profiled_runs": _int_from(0),
}
_TABLES = {"device": _DEVICE, "runtime": _RUNTIME, "protocol": _PROTOCOL}


def check_device_name(name: str) -> None:
    """Raise ProfileError when no profile may have ``name`` for its device; a name is half of the profile's id."""
    if not _DEVICE_NAME.fullmatch(name):
        raise ProfileError(
            f"device name {_shown(name)}: expected lower-case letters, digits, - and _ only, 64 at most; "
            "give another one, e.g. --name my-laptop"
        )


def profile_from_toml(text: str, *, source: str) -> HardwareProfile:
    """Read what :func:`profile_to_toml` wrote.

    Args:
        text: the TOML document.
        source: what to call it in an error, e.g. its path.

    Raises:
        ProfileError: it is no TOML, of a newer schema, or fields are unknown, missing or wrong; names every one.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(
            f"profile {source}: not TOML ({error or type(error).__name__}), expected a profile document; "
            "write a new one with `narcost profiles probe --out FILE`"
        ) from error
    _check_version(document.pop("schema_version", None), source)
    problems: list[str] = []
    top = _read_table(document, "", {"id": _match(_PROFILE_ID)} | dict.fromkeys(_TABLES, _any_table), problems)
    values = {
        name: _read_table(top[name], f"{name}.", fields, problems) for name, fields in _TABLES.items() if name in top
    }
    if not problems:
        problems = _contradictions(top["id"], **values)
    if problems:
        raise ProfileError(
            f"profile {source}: {len(problems)} bad field{'s' * (len(problems) > 1)}: {'; '.join(problems)}. "
            "Correct the file, or write a new one with `narcost profiles probe --out FILE`"
        )
    return HardwareProfile(
        id=top["id"],
        device=DeviceFacts(**values["device"]),
        runtime=RuntimeFacts(**values["runtime"]),
        protocol=MeasurementProtocol(**values["protocol"]),
    )


def profile_to_toml(profile: HardwareProfile, *, comment: str = "") -> str:
    """Write a profile; the same profile always gives the same text.

    Args:
        profile: what to write.
        comment: lines to put on top, e.g. the command and the date that it comes from.
    """
    device, runtime = profile.device, profile.runtime
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "id": profile.id,
        "device": {field: _to_toml(getattr(device, field)) for field in _DEVICE if field not in _FREE_TABLES},
        "runtime": {field: getattr(runtime, field) for field in _RUNTIME if field not in _FREE_TABLES},
        "protocol": {field: getattr(profile.protocol, field) for field in _PROTOCOL},
    }
    document["device"] |= {
        "peak_gflops": dict(device.peak_gflops),
        "bandwidth_gb_s": dict(device.bandwidth_gb_s),
    }
    document["runtime"]["options"] = dict(runtime.options)
    header = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return header + tomli_w.dumps(document)


_FREE_TABLES = ("peak_gflops", "bandwidth_gb_s", "options")  # TOML wants sub-tables after plain values


def _to_toml(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _any_table(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError("expected a table")
    return value


def _check_version(version: object, source: str) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ProfileError(
            f"profile {source}: schema_version is {_shown(version)}, expected {SCHEMA_VERSION}; "
            "write a new one with `narcost profiles probe --out FILE`"
        )
    if version > SCHEMA_VERSION:
        raise ProfileError(
            f"profile {source}: schema_version is {_shown(version)}, expected at most {SCHEMA_VERSION}: "
            "it was written by a newer narcost; upgrade tvm-narcost"
        )


def _read_table(
    document: Mapping[str, object], prefix: str, fields: Mapping[str, Reader], problems: list[str]
) -> dict[str, Any]:
    """The fields that could be read; what is wrong with the others goes to ``problems``."""
    problems += [f"{prefix}{_key(name)} is unknown" for name in document if name not in fields]
    values = {}
    for name, reader in fields.items():
        if name not in document:
            problems.append(f"{prefix}{name} is missing")
            continue
        try:
            values[name] = reader(document[name])
        except _BadEntriesError as bad:
            problems += [f"{prefix}{name}.{problem}" for problem in bad.problems]
        except ValueError as error:
            problems.append(f"{prefix}{name}: got {_shown(document[name])}, {error}")
    return values


def _contradictions(
    profile_id: str, device: dict[str, Any], runtime: dict[str, Any], protocol: dict[str, Any]
) -> list[str]:
    """Fields that are well formed one by one and cannot be true together."""
    problems = []
    prefix = f"{device['name']}.{runtime['name']}"
    if profile_id != prefix and not profile_id.startswith(prefix + "-"):
        problems.append(f"id: got {profile_id!r}, expected {prefix!r} or {prefix + '-...'!r}")
    if "float32" not in dict(device["peak_gflops"]):
        problems.append("device.peak_gflops.float32 is missing")
    levels = [level for level in _LEVELS if level != "l3" or device["l3_bytes"] > 0]
    found = dict(device["bandwidth_gb_s"])
    problems += [f"device.bandwidth_gb_s.{level} is missing" for level in levels if level not in found]
    problems += [f"device.bandwidth_gb_s.{_key(level)} is unknown" for level in found if level not in levels]
    if (runtime["name"] == "tvm") != bool(runtime["tvm_target"]):
        problems.append(f"runtime.tvm_target: got {runtime['tvm_target']!r}, expected one for tvm and none for others")
    for low, high in (("min_samples", "max_samples"), ("stable_iqr_ratio", "noisy_iqr_ratio")):
        if protocol[low] > protocol[high]:
            problems.append(f"protocol.{low}: got {protocol[low]}, expected at most {high}, {protocol[high]}")
    return problems


def _key(name: str) -> str:
    """A key on one line, whatever it holds; plain keys stay bare."""
    return name if name.isidentifier() and len(name) <= 60 else _shown(name)


def _shown(value: object) -> str:
    """A value short enough for one line; an integer of thousands of digits cannot even be printed."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "an integer of more than 30 digits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
