"""Runbooks: reading them, which one fits an alert and why, what is wrong with them. Pure, but for reading files.

A runbook is Markdown with front matter; without it, its file name or first heading is the alert's name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from bot.alerts.alert import Alert
from bot.alerts.routing import REGEX, doubt_about, is_like
from bot.errors import Broken

SECTIONS = ("Meaning", "Impact", "First 60 seconds", "Diagnosis", "Mitigation", "Verify", "Escalation")
KEYS = frozenset({
    "title", "alerts", "match", "owner", "last_reviewed", "review_every", "severity_hint", "dashboards",
})  # fmt: skip
LINES_SHOWN = 5
ELSEWHERE = ("https://", "http://")
"""What an address of a runbook begins with that is in no folder."""
SECRET = re.compile(
    r"(?:xox[abeprs]|xapp)-\w[\w-]{7,}|AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|(?i:password|token)\s*[:=]\s*\S{8,}"
)
INLINE_CODE = re.compile(r"`[^`]*`")
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
        return _steps(self)[:LINES_SHOWN]

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


def _steps(book: Runbook) -> tuple[str, ...]:
    lines = book.sections.get("First 60 seconds", "").splitlines()
    steps = (re.sub(r"^\s*(?:\d+\.|[-*])\s+", "", line).strip() for line in lines)
    return tuple(step for step in steps if step)


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
    if default and default.startswith(ELSEWHERE):
        return Choice(None, default, "the policy names it for this service")
    found = next((one for one in runbooks if is_called(one.path, default)), None) if default else None
    if found is not None:
        return Choice(found, None, "the policy names it for this service", found.stale_days(today))
    return Choice(None, None, f"no runbook matches {name}; docs/how-to/write-a-runbook.md says how to write one")


def is_called(path: str, name: str) -> bool:
    """Whether a policy that names a runbook means the one at that path in the folder."""
    return name in (path, f"runbooks/{path}")


def _fit(book: Runbook, name: str, alert: Alert) -> tuple[int, str]:
    """How well a runbook fits (0: not at all), and why. An exact name outweighs a pattern; labels break ties."""
    ours = {"service": alert.service or "", "severity": alert.severity.value}
    for label, patterns in book.match.items():
        # A service or severity may be written as the sender says it, or as we do.
        said_by_sender = alert.labels.get(label, "")
        values = {said_by_sender, ours.get(label, said_by_sender)}
        if not any(is_like(value, pattern) for pattern in patterns for value in values):
            return 0, ""
    said = "".join(f", {label} {'|'.join(patterns)}" for label, patterns in book.match.items())
    if name in book.alerts:
        return 1000 + len(book.match), f"it is for the alert {name}{said}"
    pattern = next((one for one in book.alerts if is_like(name, one)), None)
    if pattern is not None:
        return 100 + len(book.match), f"it is for alerts like {pattern}{said}"
    return 0, ""


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


# --- reading ----------------------------------------------------------------------------------


def read_folder(folder: Path) -> tuple[Runbook, ...]:
    """Every runbook in a folder, below it too; never one outside it. Raises `Broken` with file and line."""
    if not folder.is_dir():
        return ()
    return tuple(
        parse(path.relative_to(folder).as_posix(), _text(path), str(path))
        for path in _files(folder) if _is_inside(path, folder)
    )  # fmt: skip


def paths_in(folder: Path) -> tuple[str, ...] | None:
    """Where each runbook of a folder is in it, whatever is in them; None where there is no such folder."""
    if not folder.is_dir():
        return None
    return tuple(path.relative_to(folder).as_posix() for path in _files(folder) if _is_inside(path, folder))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.md")) if path.name.lower() != "readme.md")


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Broken(str(path), None, f"cannot be read: {error}") from None


def parse(path: str, text: str, file: str = "") -> Runbook:
    """Read a runbook. Raises `Broken` with the line of what cannot be."""
    matter, body, offset = _front_matter(text, file or path)
    sections, lines = _sections(body, offset)
    heading = next((line[2:].strip() for line in body.splitlines() if line.startswith("# ")), "")
    alerts = matter.words("alerts", "a name or a list of names")
    if not matter.content and heading:
        alerts = (heading,)
    return Runbook(
        path=path, title=matter.word("title") or heading or Path(path).stem, alerts=alerts, match=matter.match(),
        owner=matter.word("owner"), last_reviewed=matter.day("last_reviewed"),
        review_every=matter.days("review_every", "90d"), severity_hint=matter.word("severity_hint"),
        dashboards=matter.words("dashboards", "an address or a list of addresses"), sections=sections, lines=lines,
        has_front_matter=bool(matter.content),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _FrontMatter:
    """Front matter as text, lists and maps, with the line of each key."""

    file: str
    content: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def broken(self, key: str, problem: str) -> Broken:
        return Broken(self.file, self.lines.get(key), f"{key}: {problem}")

    def word(self, key: str) -> str:
        value = self.content.get(key, "")
        if not isinstance(value, str):
            raise self.broken(key, "expected one line of text")
        return value

    def words(self, key: str, expected: str) -> tuple[str, ...]:
        value = self.content.get(key) or []
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self.broken(key, f"expected {expected}")
        return tuple(found)

    def match(self) -> dict[str, tuple[str, ...]]:
        value, problem = self.content.get("match") or {}, "expected a map of label to pattern"
        if not isinstance(value, dict):
            raise self.broken("match", problem)
        return {label: _FrontMatter(self.file, {"match": one}, self.lines).words("match", problem.removeprefix("expected "))
                for label, one in value.items()}  # fmt: skip

    def day(self, key: str) -> date | None:
        value = self.word(key)
        try:
            return date.fromisoformat(re.split("[T ]", value, maxsplit=1)[0]) if value else None
        except ValueError:
            raise self.broken(key, f"expected a date like 2026-05-20, not {value!r}") from None

    def days(self, key: str, default: str) -> timedelta:
        value = self.word(key) or default
        found = re.fullmatch(r"(\d{1,4})d?", value)
        if not found:
            raise self.broken(key, f"expected days like 90d, not {value!r}")
        return timedelta(days=int(found.group(1)))


def _front_matter(text: str, file: str) -> tuple[_FrontMatter, str, int]:
    if not text.startswith("---\n"):
        return _FrontMatter(file), text, 0
    end = text.find("\n---", 3)
    if end < 0:
        raise Broken(file, 1, "the front matter has no end; close it with a line of ---")
    try:
        # Everything is text: a date that is none must not stop the reading before its line is known.
        loader = yaml.BaseLoader(text[4:end])
        node = loader.get_single_node()
        content = (node and loader.construct_document(node)) or {}
    except yaml.YAMLError as error:
        # A scanner notices a line too late; it began to wonder at the right one.
        began = error.context_mark if isinstance(error, yaml.scanner.ScannerError) else None
        mark = began or getattr(error, "problem_mark", None)
        raise Broken(file, mark.line + 2 if mark else 1, f"front matter: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise Broken(file, 1, "front matter: nested too deep") from None
    if not isinstance(content, dict):
        raise Broken(file, 1, "the front matter must be a map")
    lines = {str(key.value): key.start_mark.line + 2 for key, _ in node.value} if node is not None else {}
    matter = _FrontMatter(file, content, lines)
    for key in content:
        if key not in KEYS:
            raise matter.broken(str(key), f"unknown in the front matter; known are {', '.join(sorted(KEYS))}")
    rest = text.find("\n", end + 1) + 1 or len(text)
    return matter, text[rest:], text.count("\n", 0, rest)


def _sections(body: str, offset: int) -> tuple[dict[str, str], dict[str, int]]:
    sections: dict[str, str] = {}
    lines: dict[str, int] = {}
    kept: list[str] = []
    name, in_code = "", False
    for number, line in enumerate(body.splitlines(), start=offset + 1):
        in_code ^= _is_fence(line)
        if line.startswith("## ") and not in_code:
            sections[name] = "\n".join(kept).strip()
            name, kept = line[3:].strip(), []
            lines[name] = number
        else:
            kept.append(line)
    sections[name] = "\n".join(kept).strip()
    sections.pop("", None)
    return sections, lines


def _is_fence(line: str) -> bool:
    """Whether a code block begins or ends here; one may be part of a list."""
    return line.lstrip().startswith("```")


# --- what is wrong with them ------------------------------------------------------------------


def lint_folder(folder: Path) -> Iterator[Broken]:
    """Everything that is wrong with the runbooks of a folder, each with file and line."""
    seen: dict[tuple[str, str], str] = {}
    for path in _files(folder):
        if not _is_inside(path, folder):
            yield Broken(str(path), None, "leads out of the folder of runbooks")
            continue
        try:
            text = _text(path)
            book = parse(path.relative_to(folder).as_posix(), text, str(path))
        except Broken as error:
            yield error
            continue
        yield from lint(book, text, str(path), path.parent)
        for name in book.alerts:
            first = seen.setdefault((name, repr(sorted(book.match.items()))), book.path)
            if first != book.path:
                yield Broken(str(path), _line_of(text, "alerts"), f"{name}: {first} is for it, too; leave it in one of them")


def doubts_about_folder(folder: Path) -> Iterator[Broken]:
    """What the runbooks of a folder may not mean as it is written, each with file and line: a pattern that looks like an
    expression, of which there are none here, or that has brackets. It may be meant all the same, and so is no fault.
    """
    for path in _files(folder):
        with suppress(Broken):
            text = _text(path) if _is_inside(path, folder) else ""
            book = parse(path.relative_to(folder).as_posix(), text, str(path))
            yield from _doubts_about(book, text, str(path)) if book.has_front_matter else ()


def _doubts_about(book: Runbook, text: str, file: str) -> Iterator[Broken]:
    for name, patterns in (("alerts", book.alerts), *((f"match.{label}", some) for label, some in book.match.items())):
        for one in patterns:
            if one.startswith(REGEX) or doubt_about(one):
                problem = (
                    f"only * and ? are wild in {one!r}, and all else is looked for as it stands; if more is meant, write each name"
                )
                yield Broken(file, _line_of(text, name.partition(".")[0]), f"{name}: {problem}")


def _line_of(text: str, key: str) -> int | None:
    return next((number for number, one in enumerate(text.splitlines(), start=1) if one.startswith(f"{key}:")), None)


def lint(book: Runbook, text: str, file: str, beside: Path) -> Iterator[Broken]:
    """Everything that is wrong with one runbook."""
    for name in SECTIONS:
        if name not in book.sections:
            yield Broken(file, None, f"the section “## {name}” is missing")
        elif not book.sections[name].strip():
            yield Broken(file, book.lines[name], f"the section “## {name}” is empty")
    if len(_steps(book)) > LINES_SHOWN:
        problem = f"“First 60 seconds” has {len(_steps(book))} lines; {LINES_SHOWN} are shown"
        yield Broken(file, book.lines["First 60 seconds"], problem)
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
        if _is_fence(line):
            if not in_code and line.strip() == "```":
                yield Broken(file, number, "a code block without a language; write ```sh or ```text")
            in_code = not in_code
        if SECRET.search(line):
            yield Broken(file, number, "this looks like a secret; a runbook names where it is kept, not what it is")
        if UNFINISHED.search(line):
            yield Broken(file, number, "unfinished words; finish it, or take it out")
        words = "" if in_code else INLINE_CODE.sub("", line)
        if re.search(r"\([^()]+\)\[[^\]]+\]", words):
            yield Broken(file, number, "a reversed link; write [text](address)")
        for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", words):
            if not _leads_somewhere(target, text, beside):
                yield Broken(file, number, f"the link to {target} leads nowhere")


def _leads_somewhere(target: str, text: str, beside: Path) -> bool:
    """Whether a relative link has its file, and its heading in there. Other addresses are not asked."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", target):
        return True
    path, _, anchor = target.partition("#")
    if path and not (beside / path).is_file():
        return False
    if not anchor or (path and not path.endswith(".md")):
        return True
    return anchor in _anchors(_text(beside / path) if path else text)


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    found, in_code = set(), False
    for line in text.splitlines():
        in_code ^= _is_fence(line)
        if re.match(r"#{1,6} ", line) and not in_code:
            found.add(re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-"))
    return found
