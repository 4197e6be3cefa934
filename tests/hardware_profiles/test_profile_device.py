"""What the operating system tells of a device, read from small copies of its files."""

import dataclasses
from pathlib import Path

import pytest

from hardware_profiles import ProfileError, load_profile
from hardware_profiles.probe import DeviceDescription, allowed_cores, describe_device, differences

ZEN4_CORE = """processor\t: {index}
vendor_id\t: AuthenticAMD
cpu family\t: 25
model name\t: AMD Ryzen 9 7950X 16-Core Processor
physical id\t: 0
core id\t\t: {core}
flags\t\t: fpu sse4_2 avx avx2 fma avx512f avx512_vnni

"""
ARM_CORE = "processor\t: {index}\nFeatures\t: fp asimd asimddp\n\n"


def no_getconf(variable: str) -> str:
    return ""


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def write_caches(root: Path, *caches: tuple[str, str, str]) -> None:
    for index, (level, kind, size) in enumerate(caches):
        folder = f"sys/devices/system/cpu/cpu0/cache/index{index}"
        for name, text in (("level", level), ("type", kind), ("size", size)):
            write(root, f"{folder}/{name}", text + "\n")


def test_two_hyper_threads_are_one_core(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "".join(ZEN4_CORE.format(index=index, core=index // 2) for index in range(4)))
    write_caches(
        tmp_path,
        ("1", "Data", "32K"), ("1", "Instruction", "64K"), ("2", "Unified", "1024K"), ("3", "Unified", "32M"),
    )  # fmt: skip
    device = describe_device(tmp_path, no_getconf)
    assert (device.l1d_bytes, device.l2_bytes, device.l3_bytes) == (32 * 1024, 1024**2, 32 * 1024**2)
    assert (device.name, device.cores, device.vector_bytes) == ("amd-ryzen-9-7950x-zen4", 2, 64)
    assert device.isa == ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni")


def test_arm_names_itself_in_the_device_tree_and_may_have_no_l3(tmp_path: Path) -> None:
    blocks = "".join(ARM_CORE.format(index=index) for index in range(4))
    write(tmp_path, "proc/cpuinfo", blocks + "Hardware\t: BCM2835\nModel\t: Pi\n")
    write(tmp_path, "proc/device-tree/model", "Raspberry Pi 4 Model B\0")
    write_caches(tmp_path, ("1", "Data", "32K"), ("2", "Unified", "1024K"))
    device = describe_device(tmp_path, no_getconf)
    assert (device.cpu_model, device.name) == ("Raspberry Pi 4 Model B", "raspberry-pi-4-model-b")
    assert (device.cores, device.vector_bytes, device.l3_bytes, device.isa) == (4, 16, 0, ("asimd", "asimddp"))


def test_getconf_stands_in_for_hidden_caches_only(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", ZEN4_CORE.format(index=0, core=0))
    write_caches(tmp_path, ("1", "Data", "32K"), ("2", "Unified", "garbage"))
    sizes = {"LEVEL1_DCACHE_SIZE": "1", "LEVEL2_CACHE_SIZE": "524288", "LEVEL3_CACHE_SIZE": "undefined"}
    device = describe_device(tmp_path, sizes.__getitem__)
    assert (device.l1d_bytes, device.l2_bytes, device.l3_bytes) == (32 * 1024, 512 * 1024, 0)


def test_every_unknown_fact_is_named(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\n\n")
    with pytest.raises(ProfileError) as caught:
        describe_device(tmp_path, no_getconf)
    assert all(name in str(caught.value) for name in ("cpu_model", "vector_bytes", "l1d_bytes", "l2_bytes"))
    assert "cores" not in str(caught.value)


def test_this_machine_is_described() -> None:
    device = describe_device()
    assert device.l1d_bytes < device.l2_bytes
    assert device.cores >= 1
    assert device.vector_bytes in (16, 32, 64)
    assert allowed_cores() == tuple(sorted(set(allowed_cores())))


def test_another_device_is_told_by_cpu_instructions_and_caches() -> None:
    facts = load_profile("epyc-zen5.onnxruntime").device
    here = DeviceDescription(
        "any", facts.cpu_model, facts.isa, 64, facts.vector_bytes, facts.l1d_bytes, facts.l2_bytes, 0
    )
    assert differences(facts, dataclasses.replace(here, isa=here.isa[::-1])) == ()
    assert differences(facts, here) == ()  # a virtual machine with other cores and another share of the last cache
    elsewhere = dataclasses.replace(
        here, isa=(*(flag for flag in facts.isa if flag != "avx_vnni"), "amx_tile"), l1d_bytes=32768
    )
    assert differences(facts, elsewhere) == (
        "isa without avx_vnni, with amx_tile", f"l1d_bytes 32768 instead of {facts.l1d_bytes}",
    )  # fmt: skip
    assert differences(facts, dataclasses.replace(here, cpu_model="Another")) == (
        f"cpu_model 'Another' instead of {facts.cpu_model!r}",
    )
