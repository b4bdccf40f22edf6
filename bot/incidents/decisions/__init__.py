"""One file for each kind of input: what is decided when it comes. Pure, on values.

May import: the rest of `incidents`, `runbooks`, `alerts`, `errors`.
Open `opening.py` first: most of what follows keeps up what it starts.
"""
