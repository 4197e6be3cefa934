"""Where the artifacts of profiles lie: the shipped ones, and the user's own."""

from pathlib import Path

from tvm_narcost.errors import ArtifactError

__all__ = ["artifact_folder", "own_artifact_folder"]

_ARTIFACTS = Path(__file__).parents[1] / "artifacts"


def artifact_folder(profile_id: str) -> Path:
    """Where the artifact of a profile is: the user's own goes before the shipped one.

    Raises:
        ArtifactError: there is none.
    """
    own = own_artifact_folder(profile_id)
    for folder in (own, _ARTIFACTS / profile_id):
        if folder.is_dir():
            return folder
    shipped = sorted(folder.name for folder in _ARTIFACTS.iterdir()) if _ARTIFACTS.is_dir() else []
    raise ArtifactError(
        f"artifact of profile {profile_id}: none found in {own} or among the shipped ones {shipped}; "
        f"train one with `narcost train --profile {profile_id}`"
    )


def own_artifact_folder(profile_id: str) -> Path:
    """Where ``narcost train`` puts an artifact of the user's own."""
    import platformdirs

    return Path(platformdirs.user_data_dir("narcost")) / "artifacts" / profile_id
