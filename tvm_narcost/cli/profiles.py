"""``narcost profiles list | show ID | probe --out FILE``: the hardware profiles at hand, and a new one."""

import argparse
import dataclasses
import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_narcost.cli.tables import aligned
from tvm_narcost.cli.written import check_new_file, write_new_file

if TYPE_CHECKING:
    from hardware_profiles import HardwareProfile

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the three sub-verbs and their options."""
    verbs = parser.add_subparsers(dest="profiles_verb", metavar="list|show|probe", required=True)
    listing = verbs.add_parser("list", help="every profile at hand: shipped, and in your own folder")
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    show = verbs.add_parser("show", help="one profile, as TOML")
    show.add_argument("profile", metavar="ID", help="id of a profile, or path of a .toml file")
    show.add_argument("--json", action="store_true", help="print one JSON document")
    probing = verbs.add_parser("probe", help="measure this machine and write its profile")
    probing.add_argument("--out", metavar="FILE", required=True, type=Path, help="the .toml file to write")
    probing.add_argument("--runtime", choices=("onnxruntime", "openvino", "tvm"), default="onnxruntime")
    probing.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the runtime (default 1)")
    probing.add_argument("--name", default="", metavar="DEVICE", help="name of the device (default: from the CPU)")
    probing.add_argument(
        "--cores", type=_parse_cores, metavar="N[,N...]",
        help="cores to measure on; the last one takes the one-core parts (default: the last allowed)",
    )  # fmt: skip
    probing.add_argument(
        "--unsteady", action="store_true",
        help="other work comes and goes on this machine: have each network sampled for half a second",
    )  # fmt: skip
    probing.add_argument("--force", action="store_true", help="overwrite FILE")


def run(args: argparse.Namespace) -> int:
    """Do what the command line says; 0 on success.

    Raises:
        ProfileError: a profile is unknown or broken.
        NarcostError: probing is not possible here, or the file to write is there already.
    """
    verbs = {"list": _list, "show": _show, "probe": _probe}
    return verbs[args.profiles_verb](args)


def _parse_cores(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() and len(part) < 6 for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected core numbers such as 0 or 0,1")
    return tuple(int(part) for part in text.split(","))


def _list(args: argparse.Namespace) -> int:
    from hardware_profiles import list_profiles, load_profile

    profiles = [load_profile(profile_id) for profile_id in list_profiles()]
    if args.json:
        print(json.dumps([_to_json(profile) for profile in profiles], indent=2))
        return 0
    rows: list[tuple[str, ...]] = [("ID", "RUNTIME", "THREADS", "CORES", "FLOAT32 GFLOP/S")]
    for profile in profiles:
        device, runtime = profile.device, profile.runtime
        peak = dict(device.peak_gflops)["float32"]
        software = f"{runtime.name} {runtime.version}"
        rows.append((profile.id, software, str(runtime.threads), str(device.cores), f"{peak:.1f}"))
    print(aligned(rows, left=(0, 1)))
    return 0


def _show(args: argparse.Namespace) -> int:
    from hardware_profiles import load_profile, profile_to_toml

    profile = load_profile(args.profile)
    print(json.dumps(_to_json(profile), indent=2) if args.json else profile_to_toml(profile), end="")
    if args.json:
        print()
    return 0


def _probe(args: argparse.Namespace) -> int:
    from hardware_profiles import ProfileError, profile_to_toml
    from tvm_narcost.measure.probe import UNSTEADY, probe

    out: Path = args.out
    if out.suffix != ".toml":
        raise ProfileError(f"--out {out}: expected a name that ends with .toml; a profile is loaded by it")
    check_new_file(out, force=args.force)  # before a measurement of many seconds, and again when it is written
    print("measuring peak, bandwidth and call overhead: about 10 s", file=sys.stderr)
    profile = probe(
        args.runtime, args.threads, args.name, cores=args.cores, protocol=UNSTEADY if args.unsteady else None
    )
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    text = profile_to_toml(profile, comment=f"Made by `{_command(args)}` on {when}.")
    write_new_file(out, text, force=args.force)
    print(f"wrote {out}: {profile.id}, float32 {dict(profile.device.peak_gflops)['float32']:.1f} GFLOP/s a core")
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command again, without the path that it wrote to, which means nothing elsewhere."""
    words = ["narcost", "profiles", "probe", "--runtime", args.runtime, "--threads", str(args.threads)]
    if args.name:
        words += ["--name", args.name]
    if args.cores:
        words += ["--cores", ",".join(str(core) for core in args.cores)]
    if args.unsteady:
        words.append("--unsteady")
    return shlex.join([*words, "--out", args.out.name])


def _to_json(profile: "HardwareProfile") -> dict[str, object]:
    """The same names as in TOML; free tables as JSON objects."""
    document = dataclasses.asdict(profile)
    for table in ("peak_gflops", "bandwidth_gb_s"):
        document["device"][table] = dict(document["device"][table])
    document["runtime"]["options"] = dict(document["runtime"]["options"])
    return document
