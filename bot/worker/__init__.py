"""The worker: reads what came in, carries effects out, lets time pass.

May import: `handle` and everything below it. Never `slack`, `pagerduty` or `web`: `wiring.py` hands their work in.
Open `worker.py` first; each of `intake.py`, `deliveries.py` and `due.py` is one kind of work.
"""
