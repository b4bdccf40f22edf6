"""Runbooks: reading them, which one fits an alert and why, what is wrong with them. Pure, but for reading files.

A runbook is Markdown with front matter; without it, its file name or first heading is the alert's name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from bot.alerts.alert import Alert
from bot.errors import Broken

SECTIONS = ("Meaning", "Impact", "First 60 seconds", "Diagnosis", "Mitigation", "Verify", "Escalation")
KEYS = frozenset({
    "title", "alerts", "match", "owner", "last_reviewed", "review_every", "severity_hint", "dashboards",
})  # fmt: skip
LINES_SHOWN = 5
SECRET = re.compile(r"xox[abpr]-\w{8,}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|(?i:password|token)\s*[:=]\s*\S{8,}")
UNFINISHED = re.compile(r"\bTODO\b|\bTBD\b|\bFIXME\b|<insert[^>]*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook. `path` is relative to the folder; `lines` says on which line each section begins."""

    path: str
    title: str
    alerts: tuple[str, ...] = ()
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    owner: str = ""
    last_reviewed: date | None = None
    review_every: timedelta = timedelta(days=90)
    severity_hint: str = ""
    dashboards: tuple[str, ...] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    has_front_matter: bool = False

    @property
    def first_minute(self) -> tuple[str, ...]:
        """What to do in the first sixty seconds, a line each."""
        text = self.sections.get("First 60 seconds", "")
        steps = (re.sub(r"^\s*(?:\d+\.|[-*])\s+", "", line).strip() for line in text.splitlines())
        return tuple(step for step in steps if step)[:LINES_SHOWN]

    def stale_days(self, today: date) -> int | None:
        """How many days since it was reviewed, where that is longer than it should be."""
        if self.last_reviewed is None or today - self.last_reviewed <= self.review_every:
            return None
        return (today - self.last_reviewed).days


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runbook fits, and why; `url` where it lives elsewhere. Where none does, the reason says so."""

    runbook: Runbook | None
    url: str | None
    reason: str
    stale_days: int | None = None


def choose(alert: Alert, runbooks: Sequence[Runbook], default: str | None, today: date) -> Choice:
    """The runbook for an alert: the one it names; else by alert name and labels, the most exact; else by file name;
    else the service's own. Ties go to the first path."""
    named = next((link.url for link in alert.links if link.rel == "runbook"), None)
    if named is not None:
        return _named(named, runbooks, today)
    name = alert.labels.get("alertname") or alert.title
    fitting = sorted(((_fit(one, name, alert), one) for one in runbooks), key=lambda pair: (-pair[0][0], pair[1].path))
    if fitting and fitting[0][0][0] > 0:
        (_, why), found = fitting[0]
        return Choice(found, None, why, found.stale_days(today))
    by_file = next((one for one in runbooks if _squeezed(Path(one.path).stem) == _squeezed(name)), None)
    if by_file is not None:
        return Choice(by_file, None, f"its file is named after the alert {name}", by_file.stale_days(today))
    return _default(default, runbooks, name, today)


def _named(url: str, runbooks: Sequence[Runbook], today: date) -> Choice:
    """The alert names its runbook: ours, if the address ends in one of our files, else a link."""
    path = urlsplit(url).path
    ours = next((one for one in runbooks if path.endswith(f"/{one.path}")), None)
    if ours is not None:
        return Choice(ours, url, "the alert names it", ours.stale_days(today))
    return Choice(None, url, "the alert names it")


def _default(default: str | None, runbooks: Sequence[Runbook], name: str, today: date) -> Choice:
    if default and default.startswith(("https://", "http://")):
        return Choice(None, default, "the policy names it for this service")
    found = next((one for one in runbooks if default in (one.path, f"runbooks/{one.path}")), None) if default else None
    if found is not None:
        return Choice(found, None, "the policy names it for this service", found.stale_days(today))
    return Choice(None, None, f"no runbook matches {name}; docs/how-to/write-a-runbook.md says how to write one")


def _fit(book: Runbook, name: str, alert: Alert) -> tuple[int, str]:
    """How well a runbook fits (0: not at all), and why. An exact name outweighs a pattern; labels break ties."""
    values = {
        **alert.labels,
        "service": alert.service or alert.labels.get("service", ""),
        "severity": alert.severity.value,
    }
    for label, patterns in book.match.items():
        if not any(fnmatchcase(values.get(label, ""), pattern) for pattern in patterns):
            return 0, ""
    said = "".join(f", {label} {'|'.join(patterns)}" for label, patterns in book.match.items())
    if name in book.alerts:
        return 1000 + len(book.match), f"it is for the alert {name}{said}"
    pattern = next((one for one in book.alerts if fnmatchcase(name, one)), None)
    if pattern is not None:
        return 100 + len(book.match), f"it is for alerts like {pattern}{said}"
    return 0, ""


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


# --- reading ----------------------------------------------------------------------------------


def read_folder(folder: Path) -> tuple[Runbook, ...]:
    """Every runbook in a folder, below it too; never one outside it. Raises `Broken` with file and line."""
    if not folder.is_dir():
        return ()
    root = folder.resolve()
    files = (path for path in sorted(folder.rglob("*.md")) if path.resolve().is_relative_to(root))
    return tuple(
        parse(path.relative_to(folder).as_posix(), _text(path), str(path))
        for path in files if path.name.lower() != "readme.md"
    )  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Broken(str(path), None, f"cannot be read: {error}") from None


def parse(path: str, text: str, file: str = "") -> Runbook:
    """Read a runbook. Raises `Broken` with the line of what cannot be."""
    file = file or path
    matter, body, offset = _front_matter(text, file)
    sections, lines = _sections(body, offset)
    heading = next((line[2:].strip() for line in body.splitlines() if line.startswith("# ")), "")
    title = str(matter.get("title") or heading or Path(path).stem)
    alerts = _words(matter.get("alerts"))
    if not matter and heading:
        alerts = (heading,)
    return Runbook(
        path=path, title=title, alerts=alerts, match=_match(matter.get("match"), file),
        owner=str(matter.get("owner") or ""), last_reviewed=_date(matter.get("last_reviewed"), file),
        review_every=_days(matter.get("review_every", "90d"), file), severity_hint=str(matter.get("severity_hint") or ""),
        dashboards=_words(matter.get("dashboards")), sections=sections, lines=lines, has_front_matter=bool(matter),
    )  # fmt: skip


def _front_matter(text: str, file: str) -> tuple[dict[str, Any], str, int]:
    if not text.startswith("---\n"):
        return {}, text, 0
    end = text.find("\n---", 4)
    if end < 0:
        raise Broken(file, 1, "the front matter has no end; close it with a line of ---")
    try:
        matter = yaml.safe_load(text[4:end]) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise Broken(file, mark.line + 2 if mark else 1, f"front matter: {getattr(error, 'problem', error)}") from None
    if not isinstance(matter, dict):
        raise Broken(file, 1, "the front matter must be a map")
    for key in matter:
        if key not in KEYS:
            line = text[:end].count("\n", 0, max(0, text.find(f"\n{key}"))) + 2
            raise Broken(file, line, f"{key}: unknown in the front matter; known are {', '.join(sorted(KEYS))}")
    rest = text.find("\n", end + 1) + 1
    return matter, text[rest:], text.count("\n", 0, rest)


def _sections(body: str, offset: int) -> tuple[dict[str, str], dict[str, int]]:
    sections: dict[str, str] = {}
    lines: dict[str, int] = {}
    kept: list[str] = []
    name, in_code = "", False
    for number, line in enumerate(body.splitlines(), start=offset + 1):
        in_code ^= line.startswith("```")
        if line.startswith("## ") and not in_code:
            sections[name] = "\n".join(kept).strip()
            name, kept = line[3:].strip(), []
            lines[name] = number
        else:
            kept.append(line)
    sections[name] = "\n".join(kept).strip()
    sections.pop("", None)
    return sections, lines


def _words(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)


def _match(value: Any, file: str) -> dict[str, tuple[str, ...]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Broken(file, None, "match: expected a map of label to pattern")
    return {str(label): _words(patterns) for label, patterns in value.items()}


def _date(value: Any, file: str) -> date | None:
    if value is None or isinstance(value, date):
        return value
    raise Broken(file, None, f"last_reviewed: expected a date like 2026-05-20, not {value!r}")


def _days(value: Any, file: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,4})d?", str(value))
    if not found:
        raise Broken(file, None, f"review_every: expected days like 90d, not {value!r}")
    return timedelta(days=int(found.group(1)))


# --- what is wrong with them ------------------------------------------------------------------


def lint_folder(folder: Path) -> Iterator[Broken]:
    """Everything that is wrong with the runbooks of a folder, each with file and line."""
    for path in sorted(folder.rglob("*.md")):
        if path.name.lower() == "readme.md":
            continue
        try:
            text = _text(path)
            book = parse(path.relative_to(folder).as_posix(), text, str(path))
        except Broken as error:
            yield error
            continue
        yield from lint(book, text, str(path), path.parent)


def lint(book: Runbook, text: str, file: str, beside: Path) -> Iterator[Broken]:
    """Everything that is wrong with one runbook."""
    for name in SECTIONS:
        if name not in book.sections:
            yield Broken(file, None, f"the section “## {name}” is missing")
        elif not book.sections[name].strip():
            yield Broken(file, book.lines[name], f"the section “## {name}” is empty")
    if not book.owner:
        yield Broken(file, 1, "owner: missing in the front matter; who keeps it right?")
    if book.last_reviewed is None:
        yield Broken(file, 1, "last_reviewed: missing in the front matter; a date like 2026-05-20")
    if not book.alerts:
        yield Broken(file, 1, "alerts: missing in the front matter; which alerts is it for?")
    yield from _lint_lines(text, file, beside)


def _lint_lines(text: str, file: str, beside: Path) -> Iterator[Broken]:
    in_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            if not in_code and line.strip() == "```":
                yield Broken(file, number, "a code block without a language; write ```sh or ```text")
            in_code = not in_code
        if SECRET.search(line):
            yield Broken(file, number, "this looks like a secret; a runbook names where it is kept, not what it is")
        if UNFINISHED.search(line):
            yield Broken(file, number, "unfinished words; finish it, or take it out")
        if re.search(r"\([^()]+\)\[[^\]]+\]", line) and not in_code:
            yield Broken(file, number, "a reversed link; write [text](address)")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line) if not in_code else ():
            if "://" not in target and not (beside / target).exists():
                yield Broken(file, number, f"the link to {target} leads nowhere")
