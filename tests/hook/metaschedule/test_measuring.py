"""Candidates are built and timed in processes of their own; what one of them does to its process is its own affair."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tvm")

import tvm
from tvm import te, tirx, topi
from tvm.s_tir import meta_schedule as ms

from hardware_profiles import load_profile
from tvm_narcost.hook.metaschedule.intrinsics import import_intrinsics
from tvm_narcost.hook.metaschedule.measuring import MeasureSettings, Measuring, measuring
from tvm_narcost.hook.metaschedule.measuring_worker import fastest_half

PROFILE = load_profile("epyc-zen5.tvm")
TARGET = tvm.target.Target({"kind": "llvm", "num-cores": 1})
SETTINGS = MeasureSettings(run_timeout_s=1.0, memory_bytes=1 << 30, budget_s=0.01)


def relu(size: int = 1024) -> tvm.IRModule:
    given = te.placeholder((size,), name="given")
    return module_of(te.create_prim_func([given, topi.nn.relu(given)]))


def calling(name: str, *arguments: int) -> tvm.IRModule:
    """A kernel that calls a function of the C library."""
    given = te.placeholder((16,), name="given")
    result = te.extern(
        (16,), [given], lambda ins, outs: tirx.Evaluate(tirx.call_extern("int32", name, *arguments)), name="result"
    )
    return module_of(te.create_prim_func([given, result]))


def module_of(function: tirx.PrimFunc) -> tvm.IRModule:
    return tvm.IRModule({"main": function.with_attr("global_symbol", "main")})


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measuring]:
    with measuring(PROFILE, tmp_path_factory.mktemp("work"), SETTINGS) as found:
        yield found


def build(measured: Measuring, *modules: tvm.IRModule) -> list[ms.builder.BuilderResult]:
    return list(measured.builder.build([ms.builder.BuilderInput(module, TARGET) for module in modules]))


def run(measured: Measuring, *modules: tvm.IRModule) -> list[ms.runner.RunnerResult]:
    inputs = [
        ms.runner.RunnerInput(built.artifact_path, "llvm", ms.arg_info.ArgInfo.from_entry_func(module, False))
        for module, built in zip(modules, build(measured, *modules), strict=True)
    ]
    return [future.result() for future in measured.runner.run(inputs)]


def test_kernel_is_timed(measured: Measuring) -> None:
    (result,) = run(measured, relu())
    assert result.error_msg is None
    assert 1e-9 < float(result.run_secs[0]) < 1e-4


def test_larger_kernel_takes_longer(measured: Measuring) -> None:
    small, large = run(measured, relu(1 << 12), relu(1 << 18))
    assert float(large.run_secs[0]) > 4 * float(small.run_secs[0])


@pytest.mark.parametrize(
    ("call", "arguments", "why"),
    [("abort", (), "crashed with SIGABRT"), ("sleep", (60,), "no answer within 1.0 s"), ("_exit", (3,), "status 3")],
)
def test_what_a_candidate_does_ends_only_itself(
    measured: Measuring, call: str, arguments: tuple[int, ...], why: str
) -> None:
    good, bad, after = run(measured, relu(), calling(call, *arguments), relu())
    assert why in bad.error_msg
    assert bad.run_secs is None
    assert good.error_msg is None
    assert after.error_msg is None


def test_more_memory_than_allowed_is_a_failure(measured: Measuring) -> None:
    bad, after = run(measured, relu(1 << 29), relu())  # 2 GiB in, 2 GiB out
    assert "run: " in bad.error_msg
    assert after.error_msg is None


def test_a_build_that_takes_too_long_is_a_failure(tmp_path: Path) -> None:
    with measuring(PROFILE, tmp_path, MeasureSettings(build_timeout_s=0.01)) as hurried:
        (result,) = build(hurried, relu())
    assert result.artifact_path is None
    assert "build: no answer within 0.01 s" in result.error_msg


def test_measuring_goes_on_when_the_server_is_lost(measured: Measuring) -> None:
    run(measured, relu())
    process = measured.builder._inst.server._process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    lost, found = build(measured, relu(), relu())
    assert "lost" in lost.error_msg
    assert found.error_msg is None


def test_the_server_has_no_torch_and_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom hardware_profiles import load_profile\n"
        "from tvm_narcost.hook.metaschedule.measuring import measuring\n"
        "with measuring(load_profile('epyc-zen5.tvm'), Path(sys.argv[1])) as found:\n"
        "    print(found.builder._inst.server._process.pid, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        assert "libtorch" not in Path(f"/proc/{server}/maps").read_text()
        parent.kill()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{server}").exists() and "Z" not in Path(f"/proc/{server}/stat").read_text().split()[2]:
            assert time.monotonic() < deadline, "the server outlives its parent"
            time.sleep(0.05)


def test_times_add_up(measured: Measuring) -> None:
    before = (measured.times.built, measured.times.ran, measured.times.failed)
    run(measured, relu(), calling("abort"))
    after = (measured.times.built, measured.times.ran, measured.times.failed)
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 2, 1]
    assert measured.times.build_s > 0
    assert measured.times.run_s > 0


def test_fastest_half() -> None:
    assert fastest_half([3.0]) == [3.0]
    assert fastest_half([5.0, 1.0, 9.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]


def test_intrinsics_are_registered() -> None:
    import_intrinsics()
    from tvm.s_tir import TensorIntrin

    assert TensorIntrin.get("dot_16x4_vnni") is not None
