"""What every result file says of where it comes from."""

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hardware_profiles import load_profile
from tvm_narcost.measure.fingerprint import fingerprint

__all__ = ["LIGHT_NETWORKS", "RESULTS", "light_model", "write_result"]

RESULTS = Path(__file__).parent / "results"
LIGHT_NETWORKS = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19",
    "zfnet512",
)  # fmt: skip
_PACKAGES = ("numpy", "onnx", "onnxruntime", "torch")


def light_model(name: str) -> Path:
    """Path of one of the nine real networks that the installed onnx package carries."""
    import onnx

    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"


def write_result(name: str, module: str, profile_id: str, result: Mapping[str, Any]) -> Path:
    """Write ``bench/results/NAME.json`` with the machine's facts, versions, the command and the result."""
    document = {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(fingerprint(load_profile(profile_id))),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "profile": profile_id,
        **result,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
