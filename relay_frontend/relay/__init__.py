"""Relay, TVM's graph-level IR until 0.19, to an OpGraph: JSON, text or a live module, without a TVM of that time."""

from relay_frontend.relay.network import from_relay, read_relay_json, read_relay_text

__all__ = ["from_relay", "read_relay_json", "read_relay_text"]
