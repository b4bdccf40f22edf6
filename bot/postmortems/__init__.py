"""Post-mortem drafts: a timeline, folded into facts, through the team's template. Rules: pure but for reading templates.

May import: `incidents`, `errors`.
Open `facts.py` first: what a draft knows; `drafting.py` puts it through a template, `merging.py` keeps what people wrote.
"""

from bot.postmortems.drafting import Templates, draft, read_templates
from bot.postmortems.facts import service_and_start
from bot.postmortems.merging import is_draft_of, regenerate
from bot.postmortems.words import lint_words

__all__ = ["Templates", "draft", "is_draft_of", "lint_words", "read_templates", "regenerate", "service_and_start"]
