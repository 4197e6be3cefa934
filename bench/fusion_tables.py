"""Table of bench/fusion.py: who chooses among measured plans of networks, and what it gains."""

from collections.abc import Mapping
from typing import Any

__all__ = ["choices_table"]

Rows = list[list[str]]
_HEADER = ["chosen by", "Kendall's tau", "mean regret", "speed-up", "smallest speed-up", "error of default, %"]


def choices_table(document: Mapping[str, Any]) -> tuple[list[str], Rows, str]:
    """Header, rows and what stands below: one row a predictor, then the noise floor, then choices among variants."""
    rows = [
        [
            label,
            _cell(figures["kendall_tau"], 2),
            _cell(figures["mean_regret"], 3),
            _cell(figures["speedup"], 3),
            _cell(figures["smallest_speedup"], 2),
            "" if label == "tvm_default" else _cell(figures["default_mape_of_families"], 1),
        ]
        for label, figures in document["figures"].items()
    ]
    below = (
        _noise(document),
        _choice("Among TVM's plans of a network in other layouts and with other rewrites", document["variants"]),
        _choice("Among all of both", document["all"]),
    )
    return _HEADER, rows, "\n\n".join(below)


def _cell(found: Mapping[str, float], digits: int) -> str:
    """Mean, and the spread over seeds where there is one."""
    spread = f" ± {found['deviation']:.{digits}f}" if found["deviation"] else ""
    return f"{found['mean']:.{digits}f}{spread}"


def _noise(document: Mapping[str, Any]) -> str:
    best = document["figures"]["tvm_default"]["best_speedup"]["mean"]
    floor, held_out, once = document["noise_floor"], document["held_out"], document["measured_once"]
    return (
        f"{held_out['plans']} plans of {held_out['networks']} networks. The best measured plan is {best:.3f} times as "
        f"fast as TVM's default in the geometric mean. The same plan measured again differs by {floor['median']:.1%} "
        f"in the median, {floor['p90']:.1%} at the 90th percentile; two passes order the plans of a network with a tau "
        f"of {once['kendall_tau']:.2f}. Whoever chooses by measuring every plan once has a regret of "
        f"{once['mean_regret']:.3f} in the other pass, and a speed-up of {once['speedup']:.3f} where the best has "
        f"{once['best_speedup']:.3f} ({once['networks']} networks). What the default plan of a network of the families "
        f"held out takes differs by {once['default_mape_of_families']:.1f} % in the mean from one pass to the other."
    )


def _choice(among: str, found: Mapping[str, Any]) -> str:
    """What is gained over TVM's plan of the network as the profile writes it."""
    figures = found["figures"]
    best = figures["tvm_default"]["best_speedup"]["mean"]
    gains = ", ".join(
        f"{label} {own['speedup']['mean']:.3f} (regret {own['mean_regret']['mean']:.3f}, smallest "
        f"{own['smallest_speedup']['mean']:.2f})"
        for label, own in figures.items()
        if label != "tvm_default"
    )
    return (
        f"{among} ({found['networks']} networks), speed-up over TVM's plan of the profile's own way: {gains}; the best "
        f"measured {best:.3f}."
    )
