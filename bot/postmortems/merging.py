"""Drafting again without losing what people wrote.

Generated parts stand between `<!-- auto:NAME -->` and `<!-- /auto -->`. Drafting again replaces them and keeps the
rest. Where a person changed the inside of such a part, theirs stays, and a note says that there is a newer one.
"""

import re
from hashlib import sha256

BLOCK = re.compile(r"<!-- auto:(?P<name>[\w-]+)(?: sum=(?P<sum>[0-9a-f]{12}))? -->\n(?P<body>.*?)<!-- /auto -->", re.DOTALL)
NOTE = "<!-- A newer version of this part was generated and not taken, because this one was edited by hand. -->\n"


def marked(text: str) -> str:
    """The text with a checksum on each generated part, so that a later drafting sees whether it was edited."""
    return BLOCK.sub(lambda found: _block(found["name"], found["body"]), text)


def regenerate(old: str, new: str) -> str:
    """`old` with its generated parts as in `new`; what people wrote stays. `new` is marked."""
    fresh = {found["name"]: found["body"] for found in BLOCK.finditer(new)}
    if not BLOCK.search(old):
        return new
    return BLOCK.sub(lambda found: _replaced(found, fresh), old)


def _replaced(found: re.Match[str], fresh: dict[str, str]) -> str:
    name, body = found["name"], found["body"]
    if name not in fresh or fresh[name] == body:
        return found[0]
    if found["sum"] and found["sum"] != _sum(body.removeprefix(NOTE)):
        kept = body if body.startswith(NOTE) else NOTE + body
        return f"<!-- auto:{name} sum={found['sum']} -->\n{kept}<!-- /auto -->"
    return _block(name, fresh[name])


def _block(name: str, body: str) -> str:
    return f"<!-- auto:{name} sum={_sum(body)} -->\n{body}<!-- /auto -->"


def _sum(body: str) -> str:
    return sha256(body.encode()).hexdigest()[:12]
