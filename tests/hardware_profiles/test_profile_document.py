"""A profile as a TOML document: what is written reads back equal, and what is wrong is named."""

import json
import re
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles import (
    DeviceFacts,
    HardwareProfile,
    MeasurementProtocol,
    ProfileError,
    RuntimeFacts,
    list_profiles,
    load_profile,
    profile_to_toml,
)
from hardware_profiles.document import profile_from_toml

SHIPPED = ("epyc-zen5.onnxruntime", "epyc-zen5.onnxruntime-2t", "epyc-zen5.tvm")
ALL = sorted(file.name.removesuffix(".toml") for file in (files("hardware_profiles") / "data").iterdir())

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
sizes = st.integers(1, 2**40)
rates = st.floats(1e-6, 1e9)


@st.composite
def profiles(draw: st.DrawFn) -> HardwareProfile:
    name, runtime = draw(names), draw(st.sampled_from(["onnxruntime", "tvm"]))
    l3_bytes = draw(st.sampled_from([0, 2**25]))
    peaks = {"float32": draw(rates)} | draw(st.dictionaries(texts, rates, max_size=3))
    levels = ["memory", "l1", "l2"] + ["l3"] * (l3_bytes > 0)
    device = DeviceFacts(
        name=name,
        cpu_model=draw(texts),
        isa=tuple(draw(st.lists(texts, max_size=4))),
        cores=draw(sizes),
        vector_bytes=draw(sizes),
        l1d_bytes=draw(sizes),
        l2_bytes=draw(sizes),
        l3_bytes=l3_bytes,
        peak_gflops=tuple(peaks.items()),
        bandwidth_gb_s=tuple((level, draw(rates)) for level in draw(st.permutations(levels))),
        call_overhead_us=draw(st.floats(0, 1e6)),
    )
    facts = RuntimeFacts(
        name=runtime,
        version=draw(texts),
        threads=draw(sizes),
        planner=draw(st.sampled_from(["onnxruntime", "tvm", "rules"])),
        options=tuple(sorted(draw(st.dictionaries(texts, st.text(max_size=5) | texts, max_size=3)).items())),
        tvm_target=json.dumps({"kind": draw(texts)}) if runtime == "tvm" else "",
    )
    low, high = sorted(draw(st.tuples(st.integers(1, 1000), st.integers(1, 1000))))
    protocol = MeasurementProtocol(warmup_s=draw(rates), min_samples=low, max_samples=high, budget_s=draw(rates))
    suffix = draw(st.just("") | names.map(lambda text: f"-{text}"))
    return HardwareProfile(f"{name}.{runtime}{suffix}", device, facts, protocol)


@given(profiles())
def test_what_is_written_reads_back_equal(profile: HardwareProfile) -> None:
    assert profile_from_toml(profile_to_toml(profile), source="here") == profile


def test_the_shipped_profiles_are_these() -> None:
    assert set(SHIPPED) < set(ALL) <= set(list_profiles())


@pytest.mark.parametrize("profile_id", ALL)
def test_a_shipped_file_is_what_the_writer_writes(profile_id: str) -> None:
    text = (files("hardware_profiles") / "data" / f"{profile_id}.toml").read_text(encoding="utf-8")
    comment, _, body = text.partition("\n")
    assert profile_to_toml(load_profile(profile_id)) == body
    assert re.fullmatch(r"# Made by `narcost profiles probe .*` on \d{4}-\d\d-\d\d\.", comment)


@pytest.mark.parametrize("profile_id", SHIPPED)
def test_shipped_facts_are_plausible(profile_id: str) -> None:
    device = load_profile(profile_id).device
    bandwidth, peak = dict(device.bandwidth_gb_s), dict(device.peak_gflops)
    assert (device.l1d_bytes, device.l2_bytes, device.l3_bytes) == (48 * 1024, 1024**2, 32 * 1024**2)
    assert bandwidth["l1"] >= bandwidth["l2"] > bandwidth["l3"] > bandwidth["memory"]
    assert peak["int8"] > peak["float32"] > peak["float64"] > 50


def test_shipped_profiles_differ_in_threads_and_runtime() -> None:
    runtimes = [load_profile(profile_id).runtime for profile_id in SHIPPED]
    assert [(runtime.name, runtime.threads, runtime.planner) for runtime in runtimes] == [
        ("onnxruntime", 1, "onnxruntime"),
        ("onnxruntime", 2, "onnxruntime"),
        ("tvm", 1, "tvm"),
    ]
    assert json.loads(runtimes[2].tvm_target)["mcpu"] == "znver5"


def test_a_comment_stands_on_top_and_changes_nothing() -> None:
    profile = load_profile(SHIPPED[0])
    text = profile_to_toml(profile, comment="one\n\ntwo")
    assert text.startswith("# one\n#\n# two\nschema_version = 1\n")
    assert profile_from_toml(text, source="here") == profile


def edited(pattern: str, replacement: str) -> str:
    text = profile_to_toml(load_profile(SHIPPED[0]))
    found = re.search(pattern, text, flags=re.MULTILINE)
    if not found:
        raise LookupError(pattern)
    return text[: found.start()] + replacement + text[found.end() :]


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        (r"^cores = 2$", "", r"device\.cores is missing"),
        (r"^cores = 2$", "cores = 2\nsockets = 1", r"device\.sockets is unknown"),
        (r"^cores = 2$", "cores = -2", r"device\.cores: got -2, expected an integer of at least 1"),
        (r"^cores = 2$", "cores = true", r"device\.cores: got True"),
        (r"^cores = 2$", 'cores = "2"', r"device\.cores: got '2'"),
        (r"^cores = 2$", "cores = 1" + "0" * 400, r"device\.cores: got an integer of more than 30 digits"),
        (r"^float32 = .*", "float32 = nan", r"device\.peak_gflops\.float32: got nan, expected a finite number"),
        (r"^float32 = .*", "float32 = inf", r"device\.peak_gflops\.float32: got inf"),
        (r"^float32 = .*", "float32 = 0.0", r"device\.peak_gflops\.float32: got 0\.0, .* above zero"),
        (r"^float32 = .*", "float32 = 1" + "0" * 400, r"device\.peak_gflops\.float32: got an integer"),
        (r"^float32 = .*", "", r"device\.peak_gflops\.float32 is missing"),
        (r"^memory = .*", "", r"device\.bandwidth_gb_s\.memory is missing"),
        (r"^memory = .*", "memory = 1\nl4 = 2", r"device\.bandwidth_gb_s\.l4 is unknown"),
        (r"^l3_bytes = .*", "l3_bytes = 0", r"device\.bandwidth_gb_s\.l3 is unknown"),
        (r"^call_overhead_us = .*", "call_overhead_us = -1.0", r"device\.call_overhead_us: got -1\.0"),
        (r"^threads = 1$", "threads = 0", r"runtime\.threads: got 0"),
        (r'^planner = "onnxruntime"$', 'planner = "me"', r"runtime\.planner: got 'me', expected one of onnxruntime"),
        (r'^tvm_target = ""$', 'tvm_target = "llvm -mcpu=x"', r"runtime\.tvm_target: .*JSON form"),
        (r'^tvm_target = ""$', "tvm_target = '{\"kind\":\"llvm\"}'", r"runtime\.tvm_target: .*none for others"),
        (r'^tvm_target = ""$', "tvm_target = '" + "[" * 1000 + "'", r"runtime\.tvm_target: .*JSON form"),
        (r"^\[runtime\.options\]$", "[runtime.options]\nx = 3", r"runtime\.options\.x: got 3, expected a text"),
        (r"^\[runtime\.options\]$", '[runtime.options]\n"a\\nb" = 3', r"runtime\.options\.'a\\nb': got 3"),
        (r"^min_samples = .*", "min_samples = 500", r"protocol\.min_samples: got 500, .* at most max_samples, 200"),
        (r"^noisy_iqr_ratio = .*", "noisy_iqr_ratio = 0.01", r"protocol\.stable_iqr_ratio: got 0\.1, expected at most"),
        (r"^id = .*", 'id = "other.onnxruntime"', r"id: got 'other\.onnxruntime', expected 'epyc-zen5\.onnxruntime'"),
        (r"^id = .*", 'id = "../x"', r"id: got '\.\./x', expected a text that matches"),
        (r'^name = "epyc-zen5"$', 'name = "epyc.zen5"', r"device\.name: got 'epyc\.zen5'"),
        (r'^name = "epyc-zen5"$', 'name = ""', r"device\.name: got ''"),
        (r"^\[protocol\]$", "[protocols]", r"protocols is unknown; protocol is missing"),
        (r"^schema_version = 1$", "", r"schema_version is None, expected 1"),
        (r"^schema_version = 1$", "schema_version = 2", r"written by a newer narcost; upgrade"),
        (r"^schema_version = 1$", 'schema_version = "1"', r"schema_version is '1'"),
        (r"^cores = 2$", "cores = ", r"not TOML"),
        (r"^cores = 2$", "cores = " + "[" * 20_000, r"not TOML"),
        (r"^cores = 2$", "cores = 1" + "0" * 5000, r"not TOML"),
        (r"^cores = 2$", "cores = 2\ncores = 3", r"not TOML"),
    ],
)  # fmt: skip
def test_a_broken_field_is_named(pattern: str, replacement: str, expected: str) -> None:
    with pytest.raises(ProfileError, match=expected) as caught:
        profile_from_toml(edited(pattern, replacement), source="my.toml")
    assert "my.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_offender_is_named_at_once() -> None:
    text = (
        edited(r"^cores = 2$", "cores = 0\nspeed = 1").replace("threads = 1", "").replace("float64 = ", "float64 = -")
    )
    with pytest.raises(ProfileError, match="4 bad fields") as caught:
        profile_from_toml(text, source="my.toml")
    for offender in ("device.speed", "device.cores", "runtime.threads", "device.peak_gflops.float64"):
        assert offender in str(caught.value)


@pytest.mark.parametrize("table", ["device", "runtime", "protocol"])
def test_a_table_must_be_a_table(table: str) -> None:
    with pytest.raises(ProfileError, match=rf"{table}: got 5, expected a table"):
        profile_from_toml(f'schema_version = 1\nid = "a.tvm"\n{table} = 5\n', source="my.toml")


@given(st.text(max_size=200))
def test_no_text_does_worse_than_a_profile_error(text: str) -> None:
    with pytest.raises(ProfileError):
        profile_from_toml(text, source="my.toml")
