"""Putting facts through the team's template, in a process of its own with limits: templates are edited by people.

The sandbox of Jinja2 keeps a template from reaching Python; it does not keep it from counting to a billion. So it is
rendered elsewhere, with a limit on time and memory; where that fails, a plain draft is written that says so.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError

from bot.errors import Broken
from bot.incidents.changes import ChangeRecord
from bot.incidents.timeline import Entry
from bot.postmortems.facts import facts
from bot.postmortems.merging import is_draft_of, marked, regenerate
from bot.postmortems.rendering import environment

SUFFIX = ".md.j2"
WALL_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of a folder by name, and what is wrong with any of them."""

    texts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Broken, ...] = ()

    def names(self) -> tuple[str, ...]:
        """What can be asked for."""
        return tuple(sorted(self.texts))


def read_templates(folder: Path) -> Templates:
    """Every NAME.md.j2 of a folder, never one outside it; each is parsed, so that what is wrong is known at start."""
    texts: dict[str, str] = {}
    problems: list[Broken] = []
    root = folder.resolve()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if not path.resolve().is_relative_to(root):
            problems.append(Broken(str(path), None, "leads out of the templates' folder"))
            continue
        try:
            text = path.read_text(encoding="utf-8")
            environment().parse(text)
        except TemplateSyntaxError as error:
            problems.append(Broken(str(path), error.lineno, error.message or "cannot be read"))
        except RecursionError:
            problems.append(Broken(str(path), None, "is nested too deep"))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Broken(str(path), None, f"cannot be read: {error}"))
        else:
            texts[path.name.removesuffix(SUFFIX)] = text
    if not texts and not problems:
        problems.append(Broken(str(folder), None, f"there is no template; it needs a default{SUFFIX}"))
    return Templates(texts, tuple(problems))


def draft(
    ref: str,
    entries: Sequence[Entry],
    others: Sequence[Entry],
    templates: Templates,
    template: str,
    generated_at: datetime,
    names: Mapping[str, str],
    before: str | None = None,
    changes: Sequence[ChangeRecord] | None = None,
) -> str:
    """The draft of an incident. With `before`, an earlier draft, what people wrote in it is kept.

    `changes` is the change log of the days before it; None where nobody tells us of changes.
    """
    known = facts(ref, entries, others, generated_at, names, changes)
    text = templates.texts.get(template) or templates.texts.get("default")
    rendered, trouble = render_apart(text, known) if text is not None else ("", "there is none of that name, nor a default")
    if not trouble:
        made = marked(rendered)
        return regenerate(before, made) if before else made
    if before and is_draft_of(before, ref):
        told = f"> {_unusable(template, trouble)} What was drafted before stands below."
        return _told_in(before, marked(f"<!-- auto:head -->\n{told}\n<!-- /auto -->\n"))
    return marked(plain_draft(known, template, trouble))


def _told_in(before: str, told: str) -> str:
    """An earlier draft with a part of its own that says why there is no newer one; the next drafting replaces it."""
    if "<!-- auto:head" in before:
        return regenerate(before, told)
    title, _, rest = before.partition("\n")
    return f"{title}\n\n{told}{rest}"


def _unusable(template: str, trouble: str) -> str:
    return f"The template “{template}” could not be used ({' '.join(trouble.split())})."


def render_apart(text: str, known: Mapping[str, Any], wall_seconds: float = WALL_SECONDS) -> tuple[str, str]:
    """Render in a process of its own: (what came of it, why it did not)."""
    question = json.dumps({"template": text, "facts": known})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bot.postmortems.rendering"], input=question, capture_output=True, text=True,
            timeout=wall_seconds, check=False, cwd=Path(__file__).resolve().parents[2],
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "", f"it took longer than {wall_seconds:g} s"
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return "", "it used more time or memory than it may"
    return str(answer.get("text", "")), str(answer.get("error", ""))


def plain_draft(known: Mapping[str, Any], template: str, trouble: str) -> str:
    """A draft without a template: the facts are not lost because a template is broken."""
    lines = [
        f"# {known['ref']}: {known['title']}", "", "<!-- auto:plain -->",
        f"> {_unusable(template, trouble)} This is the plain draft.", "",
        str(known["summary"]), "", "## Timeline (UTC)", "",
    ]  # fmt: skip
    lines += [f"- {row['day']} {row['at']} {row['text']}".replace("-  ", "- ") for row in known["timeline"]]
    return "\n".join([*lines, "<!-- /auto -->"]) + "\n"
