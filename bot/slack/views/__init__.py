"""What people see in Slack: values in, Block Kit out. Pure, and every text from outside goes through `escape`.

May import: the rules and `bot.slack.ids`; no client, no clock, no record.
Open `card.py` first: it is what somebody reads at 03:00 on a phone.
"""
