"""Importing a package pulls in nothing heavy. Who may import whom is checked by import-linter, see pyproject.toml."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HEAVY = ("torch", "tvm", "onnxruntime", "openvino", "sqlalchemy", "alembic", "xgboost", "scipy")

PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for root in ("relay_frontend", "hardware_profiles", "tvm_narcost")
    for path in (ROOT / root).rglob("__init__.py")
    if "migrations" not in path.parts
)


def test_importing_every_package_loads_nothing_heavy() -> None:
    code = f"import sys, {', '.join(PACKAGES)}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_in_all_is_there(package: str) -> None:
    module = importlib.import_module(package)
    names = getattr(module, "__all__", [])
    assert [name for name in names if not hasattr(module, name)] == []
    assert len(set(names)) == len(names)


def test_each_heavy_package_has_a_contract() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    forbidden = {name for contract in contracts for name in contract.get("forbidden_modules", [])}
    assert {"torch", "xgboost", "tvm", "onnxruntime", "openvino", "sqlalchemy", "alembic"} <= forbidden
