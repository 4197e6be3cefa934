"""A model file or compiler module -> OpGraph."""
