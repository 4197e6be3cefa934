"""What compiled code asks of the device: how wide its vectors are, how many it holds, how many threads run."""

from dataclasses import dataclass

from hardware_profiles import HardwareProfile

__all__ = ["Machine"]

_RESERVED_REGISTERS = 4  # for a vector of weights, two broadcast activations and one that the compiler wants


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts of a HardwareProfile that schedules are made from.

    Attributes:
        vector_bytes: width of a vector register.
        registers: vector registers that an instruction can name.
        l1_bytes, l2_bytes: data caches of one core.
        threads: threads that run a kernel; with one no loop is made parallel.
    """

    vector_bytes: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    threads: int

    @classmethod
    def of(cls, profile: HardwareProfile) -> "Machine":
        """The machine of a profile. The number of registers follows from the instruction set (x86-64: 16 or 32)."""
        device = profile.device
        registers = 32 if "avx512f" in device.isa else 16
        return cls(device.vector_bytes, registers, device.l1d_bytes, device.l2_bytes, profile.runtime.threads)

    @property
    def accumulators(self) -> int:
        """Registers that partial sums may fill without being spilled."""
        return self.registers - _RESERVED_REGISTERS

    def lanes(self, bits: int) -> int:
        """How many values of that many bits one register holds."""
        return max(self.vector_bytes * 8 // bits, 1)
