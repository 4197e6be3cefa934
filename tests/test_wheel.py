"""What a user gets: the wheel holds the three packages with their data, and nothing else."""

import configparser
import zipfile
from email.parser import HeaderParser
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
PACKAGES = ("relay_frontend", "hardware_profiles", "tvm_narcost")

# Every kind of file that is no Python source. Each pattern must match something, so that none goes stale.
DATA = (
    "*/py.typed",
    "hardware_profiles/data/*.toml",
    "relay_frontend/relay/*.lark",
    "tvm_narcost/artifacts/*",
    "tvm_narcost/cli/report.html",
    "tvm_narcost/database/migrations/*",
)

LARGEST_WHEEL = 20 * 1024 * 1024  # bytes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with the back end itself: no isolated environment, so no network."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return Path(built)


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def metadata(wheel: Path, file: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(f".dist-info/{file}")]
        return archive.read(name).decode()


def test_wheel_holds_every_source_file_of_the_three_packages(wheel: Path) -> None:
    sources = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {name for name in names(wheel) if name.endswith(".py")} == sources


def test_wheel_holds_data_of_known_kinds_only(wheel: Path) -> None:
    data = [name for name in names(wheel) if not name.endswith(".py")]
    assert [name for name in data if not any(fnmatch(name, pattern) for pattern in DATA)] == []


@pytest.mark.parametrize("pattern", DATA)
def test_wheel_holds_each_kind_of_data(wheel: Path, pattern: str) -> None:
    on_disk = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and fnmatch(str(path.relative_to(ROOT)), pattern)
    }
    assert on_disk
    assert on_disk <= set(names(wheel))


def test_every_package_is_marked_as_typed(wheel: Path) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names(wheel))


def test_wheel_installs_the_command(wheel: Path) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read_string(metadata(wheel, "entry_points.txt"))
    assert dict(entry_points["console_scripts"]) == {"narcost": "tvm_narcost.cli.main:main"}


def test_wheel_requires_neither_a_gpu_package_nor_a_development_tool(wheel: Path) -> None:
    requirements = HeaderParser().parsestr(metadata(wheel, "METADATA")).get_all("Requires-Dist") or []
    plain = {requirement.split(">")[0] for requirement in requirements if "extra ==" not in requirement}
    assert "xgboost-cpu" in plain
    assert plain.isdisjoint({"xgboost", "pytest", "hypothesis", "apache-tvm"})


def test_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST_WHEEL
