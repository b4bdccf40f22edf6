"""Bodies that nobody would send on purpose, a million of them: see `__main__.py`."""
