"""``make bench``: the benchmarks that take minutes, then the tables. Accuracy takes hours: see bench/accuracy.py."""

import subprocess
import sys

_MODULES = (
    "bench.tokens_speed", "bench.reading_speed", "bench.planners", "bench.speed", "bench.rank_speed", "bench.light",
    "bench.flops_counter", "bench.tables",
)  # fmt: skip


def main() -> None:
    """Run each in a process of its own, so that none warms the caches of the next."""
    for module in _MODULES:
        print(f"== {module}", flush=True)
        subprocess.run([sys.executable, "-m", module], check=True)


if __name__ == "__main__":
    main()
