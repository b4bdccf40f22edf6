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


def is_draft_of(text: str, ref: str) -> bool:
    """Whether this is a draft of that incident, with generated parts left in it."""
    return text.startswith(f"# {ref}:") and BLOCK.search(_unix(text)) is not None


def regenerate(old: str, new: str) -> str:
    """`old` with its generated parts as in `new`; what people wrote stays. `new` is marked.

    Where the two have no part in common, `old` came of another template, or of none: it is `new`.
    """
    old = _unix(old)
    fresh = {found["name"]: found["body"] for found in BLOCK.finditer(new)}
    if not any(found["name"] in fresh for found in BLOCK.finditer(old)):
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


def _unix(text: str) -> str:
    """With the line ends that the parts are found by: some editors write others."""
    return text.replace("\r\n", "\n")


def _block(name: str, body: str) -> str:
    return f"<!-- auto:{name} sum={_sum(body)} -->\n{body}<!-- /auto -->"


def _sum(body: str) -> str:
    return sha256(body.encode()).hexdigest()[:12]
