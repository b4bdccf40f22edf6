"""Alerts: what the outside world reports, read into one model, and where each one belongs. Rules: pure.

May import: `errors` and nothing else of ours.
Open `alert.py` first, then `source.py`; each file in `sources/` is one sender.
"""
