"""A local Slack: workspace, Web API, and what it sends to an app.

May import: `world`, `cast`, `calls`.
Open `workspace.py` first; `api.py` has one function for each Web API method.
"""
