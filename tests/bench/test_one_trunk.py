"""bench.one_trunk: the figures."""

from bench.one_trunk import summarise


def test_figures_by_profile() -> None:
    rows = [
        {"variant": "one trunk", "mape": {"p": {"a": 4.0, "b": 6.0}, "q": {"a": 8.0, "b": 8.0}}},
        {"variant": "one trunk", "mape": {"p": {"a": 5.0, "b": 7.0}, "q": {"a": 8.0, "b": 8.0}}},
        {"variant": "one a profile", "mape": {"p": {"a": 3.0, "b": 3.0}}},
    ]
    assert summarise(rows) == {
        "p": {
            "one a profile": {"mape_mean": 3.0, "mape_std": 0.0, "seeds": 1},
            "one trunk": {"mape_mean": 5.5, "mape_std": 0.71, "seeds": 2},
        },
        "q": {"one trunk": {"mape_mean": 8.0, "mape_std": 0.0, "seeds": 2}},
    }
