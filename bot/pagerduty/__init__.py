"""PagerDuty: paging, asking who was woken, and hearing what people did there.

May import: `handle` and everything below it. Never `slack`, `web` or `worker`.
Open `deliver.py` first; `client.py` is the only file that knows the library.
"""
