"""One module a runtime; each is imported only when a profile names it."""
