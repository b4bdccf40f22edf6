"""The Slack edge: commands, buttons and forms come in here, and effects go out to channels.

May import: `handle`, `store` and the rules, slack_bolt and slack_sdk; never another edge, and wiring hands in the rest.
Open `desk.py` for what comes in, `deliver.py` for what goes out; `views/` is pure.
"""
