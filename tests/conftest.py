"""What every test shares: the hypothesis profile, and no environment of the user's leaking in."""

import pytest
from hypothesis import settings

# Shared runners stall at random, so no deadline; the same examples on every run, so that a failure is everybody's.
settings.register_profile("narcost", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("narcost")


@pytest.fixture(autouse=True)
def isolated_user_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the database that the user of this machine has."""
    monkeypatch.delenv("NARCOST_DATABASE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user-data")))
