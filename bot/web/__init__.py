"""The web's edge: alerts and Slack come in here; health and metrics go out.

May import: `handle` and everything below it. Never `slack`, `pagerduty` or `worker`: `wiring.py` hands their work in.
Open `app.py` first: every route is in one list; `webhooks.py` is the thin way in for alerts.
"""
