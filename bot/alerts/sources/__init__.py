"""One file for each sender of alerts: how to trust it, how to read it, an example, and how to set it up.

May import: the rest of `alerts`, `errors`. Nothing here knows of incidents.
Open `alertmanager.py` first; `../registry.py` lists them all.
"""
