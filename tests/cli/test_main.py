"""The command line as a whole: its verbs, its speed, and how it ends when something is wrong."""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench.facts import light_model
from hardware_profiles.errors import ProfileError
from relay_frontend.errors import ModelFileError
from tvm_narcost.cli import main as cli
from tvm_narcost.errors import ArtifactError

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "tvm", "onnx", "onnxruntime", "numpy", "scipy", "sqlalchemy", "alembic", "xgboost", "tqdm")


def narcost(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tvm_narcost.cli.main", *argv]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A verb `probe`, whose run() a test replaces."""
    module = ModuleType("verb_under_test")
    module.add_arguments = lambda parser: parser.add_argument("--count", type=int)  # type: ignore[attr-defined]
    module.run = lambda args: 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.VERBS, "probe", (module.__name__, "a verb for the tests"))
    return module


def raising(error: BaseException) -> object:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_prediction_needs_what_plans_and_not_what_learns() -> None:
    """torch alone takes longer to import than all else that a prediction does."""
    network = str(light_model("squeezenet"))
    code = (
        f"import sys; sys.argv[1:] = ['predict', {network!r}]\n"
        "from tvm_narcost.cli.main import main\n"
        "main()\n"
        "print('loaded:', *sorted({'torch', 'xgboost', 'tvm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']\n"
        "from tvm_narcost.cli.main import main\n"
        "try: main()\n"
        f"finally: print('loaded:', *sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Time on the processor: wall time is as much a matter of what else the machine does.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done.stdout.splitlines()[-1] == "loaded:"
    assert min(seconds) < 0.3


def test_help_names_every_verb() -> None:
    help_text = narcost("--help").stdout
    assert [verb for verb in cli.VERBS if f"\n    {verb} " not in help_text] == []


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main([name, "--help"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: narcost {name} ")


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--version"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out == "narcost 0.1.0\n"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "arguments are required: VERB"),
        (["dance"], "invalid choice: 'dance'"),
        (["probe", "--count", "many"], "invalid int value: 'many'"),
        (["probe", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_next_step(
    argv: list[str], expected: str, verb: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("narcost: error: ")
    assert expected in captured.err
    assert captured.err.endswith("--help`\n")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("error", [ModelFileError, ProfileError, ArtifactError])
def test_error_of_each_package_is_one_line(
    error: type[Exception], verb: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb, "run", raising(error("the file\n  has   two lines")))
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err == "narcost: error: the file has two lines\n"


def test_file_that_cannot_be_written_is_an_error_of_the_user(
    verb: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(verb, "run", lambda args: (tmp_path / "missing" / "out").write_text("x"))
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err == f"narcost: error: No such file or directory: {tmp_path}/missing/out\n"


def test_bug_is_not_hidden(verb: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "run", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_interrupt_ends_with_130(
    verb: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb, "run", raising(KeyboardInterrupt()))
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr().err == "narcost: interrupted\n"


def test_status_of_the_verb_is_that_of_the_command(verb: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "run", lambda args: args.count)
    assert cli.main(["probe", "--count", "7"]) == 7


def test_reader_that_leaves_early_is_no_error() -> None:
    # A pipe whose reading end is closed before the command writes, as in `narcost --help | true`. Buffered, or argparse
    # would meet the closed pipe itself, and say nothing.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tvm_narcost.cli.main", "--help"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141
