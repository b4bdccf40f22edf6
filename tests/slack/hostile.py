"""Texts that want to be more than text in Slack: calls, links under a false name, hidden and turned characters."""

PEOPLE = "U0EVIL001"
CALLS = (
    "<!channel>", "<!here>", "<!everyone>", "<!here|x>", "<!channel|channel>", "<!subteam^S0EVIL01>",
    "<!subteam^S0EVIL01|@oncall>",
    "<!date^1392734382^{date}|<!here>>", "<!date^0^{date}^https://evil.example|soon>", "<!channel",
    "<!here\n>", "<\n!here>", "< !here>",
    "<<!channel>>", "<<<!here>>>", "<!<!channel>channel>", "<!channel><!here><!everyone>", "x<!channel>y",
    "<!CHANNEL>", "<!Here>",
    "&lt;!channel&gt;", "&amp;lt;!channel&amp;gt;", "&#60;!channel&#62;", "&#x3c;!here&#x3e;",
    "\\<!channel\\>", "%3C!channel%3E",
    "＜!channel＞", "‹!here›", "<\u200b!channel>", "<!chan\u200bnel>", "<!\u2060here>", "\ufeff<!here>",
    "<!here\u00ad>", "<!h\u200dere>",
    "\u202e<!channel>\u202c", "\u202e>lennahc!<", "\u2066<!here>\u2069", "\u061c<!here>", "<!here>\0",
    "\0<!here>", "<!here>\x1b[31m",
)  # fmt: skip
MENTIONS = (
    f"<@{PEOPLE}>", f"<@{PEOPLE}|ana>", f"<@{PEOPLE}\n>", f"<@\u200b{PEOPLE}>", f"&lt;@{PEOPLE}&gt;",
    f"<<@{PEOPLE}>>", "<@W0EVIL001>",
    "<@USLACKBOT>", "<@B0EVIL001>", "<#C0EVIL001>", "<#C0EVIL001|general>", "<#G0EVIL001|secret>",
)  # fmt: skip
LINKS = (
    "<https://evil.example|https://pagerduty.com>", "<http://evil.example|Acknowledge>", "<https://evil.example>",
    "<https://evil.example\u200b|https://pagerduty.com>", "<HTTPS://evil.example|x>",
    "<mailto:evil@evil.example|security@corp.example>",
    "<tel:+100|call>", "<slack://open|open>", "<javascript:alert(1)|x>", "<data:text/html,x|x>",
    "<file:///etc/passwd|x>", "<//evil.example|x>",
    "<https://evil.example|<!channel>>", "[PagerDuty](https://evil.example)", "https://evil.example|x",
    "https://evil.example/<!here>",
    "<https://ev\nil.example|x>", "<https://evil.example|x",
)  # fmt: skip
TRICKS = (
    "*PagerDuty took the page*", "_x_", "~x~", "`x`", "```", "```\n<!channel>\n```",
    "x\n✅ *Acknowledged by* Ana", "x\r\n> quoted",
    "\u2028<!here>", "\u2029*paged*", "\u0085<!here>", ">>> all of it", "&gt;&gt;", "🔥<!here>🔥",
    "𝕏<!channel>𝕏", "👩‍💻 <!here>", "é\u0301" * 50,
    "\ud83d", "\udfff<!here>", "a" * 9000 + "<!channel>", "&" * 4000, "<" * 4000, ("<!here>" * 600), " \t ",
    "{{ 7*7 }}", "%s%n", "@channel @here @everyone",
)  # fmt: skip
CORPUS = (*CALLS, *MENTIONS, *LINKS, *TRICKS)
