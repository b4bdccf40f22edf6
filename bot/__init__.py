"""Firstfive: an incident-response bot for Slack.

Three rings: rules (pure), record (`store`, the only SQL), edges (the only outside).
Open `handle.py` first: everything that happens goes through that door.
"""

__version__ = "0.1.0"
