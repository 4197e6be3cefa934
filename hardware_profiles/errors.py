"""Errors of hardware profiles; a message says what, got, expected and the next step, in that order."""

__all__ = ["ProfileError"]


class ProfileError(Exception):
    """A profile is unknown, unreadable, or holds a field or value that it must not."""
