"""A local Slack and PagerDuty, with a web page: for people to press and for tests to press.

The stand-ins speak the neighbours' own APIs, with their errors and limits; the bot runs against them unmodified.
Open `app.py` first; only `__main__.py` knows the bot.
"""
