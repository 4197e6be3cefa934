"""Runtimes, the timing protocol, the environment fingerprint."""
