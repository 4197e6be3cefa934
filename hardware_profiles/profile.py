"""HardwareProfile: the facts of one device and one runtime on it."""

from dataclasses import dataclass

__all__ = ["DeviceFacts", "HardwareProfile", "MeasurementProtocol", "RuntimeFacts"]


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What the device is and what it was probed to do.

    Attributes:
        name: id of the device, lower case, dots not allowed.
        cpu_model: as the operating system names it.
        isa: instruction set extensions that matter, e.g. ``avx2``, ``avx512f``.
        cores: physical cores.
        vector_bytes: width of a vector register, bytes.
        l1d_bytes, l2_bytes: data caches a core. l3_bytes: shared.
        peak_gflops: dtype -> GFLOP/s of one core, probed (a fused multiply-add is 2).
        bandwidth_gb_s: ``l1``, ``l2``, ``l3``, ``memory`` -> GB/s of one core, probed.
        call_overhead_us: time of the smallest call that the runtime makes, microseconds.
    """

    name: str
    cpu_model: str
    isa: tuple[str, ...]
    cores: int
    vector_bytes: int
    l1d_bytes: int
    l2_bytes: int
    l3_bytes: int
    peak_gflops: tuple[tuple[str, float], ...]
    bandwidth_gb_s: tuple[tuple[str, float], ...]
    call_overhead_us: float


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """Which runtime, and how it is set.

    Attributes:
        name: ``onnxruntime``, ``openvino`` or ``tvm``.
        version: the version that measurements were taken with.
        threads: intra-operator threads.
        planner: who plans for it: ``onnxruntime``, ``openvino``, ``tvm`` or ``rules``.
        options: runtime options, sorted by name.
        tvm_target: TVM's target string; empty for other runtimes.
    """

    name: str
    version: str
    threads: int
    planner: str
    options: tuple[tuple[str, str], ...] = ()
    tvm_target: str = ""


@dataclass(frozen=True, slots=True)
class MeasurementProtocol:
    """How latency is measured; times in seconds, ratios as fractions."""

    warmup_s: float = 0.1
    warmup_runs: int = 3
    min_samples: int = 20
    max_samples: int = 200
    budget_s: float = 1.5
    stable_iqr_ratio: float = 0.10
    noisy_iqr_ratio: float = 0.25
    profiled_runs: int = 5


@dataclass(frozen=True, slots=True)
class HardwareProfile:
    """Device, runtime and protocol; ``id`` is ``DEVICE.RUNTIME``, e.g. ``epyc-zen5.onnxruntime``."""

    id: str
    device: DeviceFacts
    runtime: RuntimeFacts
    protocol: MeasurementProtocol
