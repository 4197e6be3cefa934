"""From measurements to an artifact."""
