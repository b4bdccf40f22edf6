"""A local PagerDuty: Events v2, a part of its REST API, and webhooks v3.

May import: `world`, `cast`, `calls`.
Open `account.py` first: it holds the rules of who is woken when.
"""
