"""Where the artifacts of profiles lie: the shipped ones, and the user's own."""

from collections.abc import Callable
from pathlib import Path

from tvm_narcost.errors import ArtifactError

__all__ = ["artifact_folder", "own_artifact_folder", "own_ranker_folder", "ranker_folder"]

_ARTIFACTS = Path(__file__).parents[1] / "artifacts"
_RANKER = ".schedules"  # a profile's ranker of schedules lies beside its latency model


def artifact_folder(profile_id: str) -> Path:
    """Where the artifact of a profile is: the user's own goes before the shipped one.

    Raises:
        ArtifactError: there is none.
    """
    return _find(profile_id, "narcost train", lambda name: not name.endswith(_RANKER))


def ranker_folder(profile_id: str) -> Path:
    """Where the ranker of a profile's schedules is: the user's own goes before the shipped one.

    Raises:
        ArtifactError: there is none.
    """
    return _find(profile_id + _RANKER, "narcost train --schedules RECORDS", lambda name: name.endswith(_RANKER))


def _find(name: str, command: str, listed: Callable[[str], bool]) -> Path:
    own = own_artifact_folder(name)
    for folder in (own, _ARTIFACTS / name):
        if folder.is_dir():
            return folder
    shipped = (
        sorted(folder.name for folder in _ARTIFACTS.iterdir() if listed(folder.name)) if _ARTIFACTS.is_dir() else []
    )
    profile_id = name.removesuffix(_RANKER)
    raise ArtifactError(
        f"artifact of profile {profile_id}: none found in {own} or among the shipped ones {shipped}; "
        f"train one with `{command} --profile {profile_id}`"
    )


def own_artifact_folder(profile_id: str) -> Path:
    """Where ``narcost train`` puts an artifact of the user's own."""
    import platformdirs

    return Path(platformdirs.user_data_dir("narcost")) / "artifacts" / profile_id


def own_ranker_folder(profile_id: str) -> Path:
    """Where ``narcost train --schedules`` puts a ranker of the user's own."""
    return own_artifact_folder(profile_id + _RANKER)
