"""Find a profile by id or path: the shipped ones, and those in the user's profile folder."""

import os
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from platformdirs import user_config_dir

from hardware_profiles.document import profile_from_toml
from hardware_profiles.errors import ProfileError
from hardware_profiles.profile import HardwareProfile

__all__ = ["list_profiles", "load_profile", "user_profile_dir"]

_SUFFIX = ".toml"
_LARGEST_FILE = 64 * 1024  # bytes; a shipped profile has about 1,500
_ID = re.compile(r"(?=.{1,130}\Z)[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)*")


def user_profile_dir() -> Path:
    """Where the user's own profiles lie: ``NARCOST_PROFILES``, or ``profiles`` in the user's configuration folder."""
    override = os.environ.get("NARCOST_PROFILES")
    return Path(override) if override else Path(user_config_dir("narcost", appauthor=False)) / "profiles"


def list_profiles() -> tuple[str, ...]:
    """Ids of every shipped profile and of every one in the user's folder, sorted."""
    return tuple(sorted({*_ids_in(_shipped()), *_ids_in(user_profile_dir())}))


def load_profile(id_or_path: str) -> HardwareProfile:
    """Load a profile.

    Args:
        id_or_path: an id such as ``epyc-zen5.onnxruntime``, or the path of a ``.toml`` file.

    Raises:
        ProfileError: the id is unknown or ambiguous, the file cannot be read, or a field of it is wrong.
    """
    if id_or_path.endswith(_SUFFIX):
        return profile_from_toml(_read(Path(id_or_path), id_or_path), source=id_or_path)
    if not _ID.fullmatch(id_or_path):
        raise ProfileError(
            f"profile {id_or_path[:100]!r}: not an id, expected DEVICE.RUNTIME or the path of a .toml file; {_known()}"
        )
    source = _find(id_or_path)
    profile = profile_from_toml(_read(source, str(source)), source=str(source))
    if profile.id != id_or_path:
        raise ProfileError(
            f"profile {source}: its id is {profile.id!r}, expected {id_or_path!r} as its file name says; "
            "rename the file or correct the id"
        )
    return profile


def _shipped() -> Traversable:
    return files("hardware_profiles") / "data"


def _ids_in(folder: Traversable) -> list[str]:
    if not folder.is_dir():
        return []
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError as error:
        raise ProfileError(
            f"profile folder {folder}: {error}, expected a readable folder; set NARCOST_PROFILES to one"
        ) from error
    stems = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
    return [stem for stem in stems if _ID.fullmatch(stem)]


def _find(profile_id: str) -> Traversable:
    name = profile_id + _SUFFIX
    found = [folder / name for folder in (_shipped(), user_profile_dir()) if (folder / name).is_file()]
    if not found:
        raise ProfileError(f"profile {profile_id!r}: unknown; {_known()}")
    if len(found) > 1:
        # An artifact is bound to its profile's id, so neither of two different devices may win silently.
        raise ProfileError(
            f"profile {profile_id!r}: shipped, and also {found[1]}; rename your own, or load it by its path"
        )
    return found[0]


def _known() -> str:
    return (
        f"known ids: {', '.join(list_profiles()) or 'none'}. List them with `narcost profiles list`, "
        "or make one of this machine with `narcost profiles probe --out FILE`"
    )


def _read(path: Traversable, source: str) -> str:
    try:
        if not path.is_file():
            raise ProfileError(f"profile {source}: no such file; {_known()}")
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ProfileError(f"profile {source!r}: {error}, expected a readable file") from error
    if len(content) > _LARGEST_FILE:
        raise ProfileError(f"profile {source}: more than {_LARGEST_FILE} bytes, expected a profile document")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ProfileError(f"profile {source}: not UTF-8 ({error}), expected a TOML document") from error
