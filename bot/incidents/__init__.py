"""Incidents: what they are and what is decided about them. Rules: pure, no clock, no client, no SQL.

May import: `runbooks`, `alerts`, `errors`.
Open `decide.py` first; `inputs.py` and `effects.py` are its two vocabularies.
"""
