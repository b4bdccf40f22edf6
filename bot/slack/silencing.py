"""What `/incident silence …` asks for: matchers, how long, and why. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches

from bot.alerts.routing import FIELDS, REGEX, WORDS, Matcher, as_expression, doubt_about, fits, is_plain, wrong_with
from bot.errors import Refused
from bot.slack.views.text import defused

EXAMPLE = "`/incident silence service=checkout 2h moving the database`"
TOKEN = re.compile(r'(?:[^\s"]|"[^"]*")+')
MATCHER = re.compile(r"([A-Za-z_][\w./-]*)(=~|!=|!~|==|=)(.*)", re.DOTALL)
PATTERN = re.compile(r'(?:[^|,"]|"[^"]*")+')
LENGTH = re.compile(r"(?i)(?:\d{1,6}(?:s|m|min|h|d|w)){1,5}")
PART = re.compile(r"(?i)(\d+)(s|min|m|h|d|w)")
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
LABEL = re.compile(r"(?i)(label|annotation)s?\.(.+)")
CURLY = str.maketrans("“”„‟«»", '""""""')
"""Some keyboards make these of straight quotes."""
LINKED = re.compile(r"<((?:https?://|mailto:)[^|>\s]*)(?:\|([^>]*))?>")
"""What Slack makes of a word that looks like an address."""
SHORT = {"sev": "severity", "env": "environment", "svc": "service", "alert": "name"}
FOR = frozenset({"for", "because"})


@dataclass(frozen=True, slots=True)
class Wish:
    """A silence as it is asked for."""

    match: Matcher
    lasts: timedelta
    reason: str


def read(text: str) -> Wish:
    """What is to be silenced, for how long, and why. Raises `Refused` with what is missing, or wrong."""
    text = LINKED.sub(lambda found: found[2] or found[1], text).translate(CURLY)
    parts: dict[str, dict[str, tuple[str, ...]]] = {}
    lasts: timedelta | None = None
    reason = ""
    for token in TOKEN.finditer(text):
        word = token[0]
        if LENGTH.fullmatch(word) and lasts is None:
            lasts = sum((timedelta(seconds=int(number) * SECONDS[unit.lower()]) for number, unit in PART.findall(word)), timedelta())
        elif (found := MATCHER.fullmatch(word)) is not None:
            if text[token.end() :].startswith('"'):
                raise Refused('A quote is opened and not closed: write `title="Disk full"`.')
            _add(found[1], found[2], found[3], parts)
        elif word.lower() not in FOR:
            reason = text[token.start() :].strip()
            break
    return _whole(Matcher(**parts), lasts, reason)


def services_but(match: Matcher, known: Iterable[str]) -> tuple[str, ...]:
    """The services that a silence names and none of those known is; of an expression nothing is said."""
    names = tuple(known)
    wanted = match.fields.get("service", ())
    return tuple(one for one in wanted if not one.startswith(REGEX) and not any(fits(name, (one,)) for name in names))


def as_it_stands(match: Matcher) -> str:
    """How a pattern is read that stands in quotes and may have been meant otherwise; empty where none may."""
    doubtful = next(filter(doubt_about, (*_patterns_of(match), *_left_out_of(match))), "")
    return f" Only * and ? are wild in `{defused(doubtful[:60])}`: all else is looked for as it stands." if doubtful else ""


def number_of(words: Sequence[str]) -> int | None:
    """The number of a silence in `end 3`, `end #3`."""
    word = words[1].lstrip("#").rstrip(".,:") if len(words) > 1 else ""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 9 else None


def _whole(match: Matcher, lasts: timedelta | None, reason: str) -> Wish:
    if match == Matcher():
        raise Refused(f"Which alerts? A silence needs at least one matcher, such as `service=checkout`: {EXAMPLE}")
    wanted, left_out = _patterns_of(match), _left_out_of(match)
    if any(set(one) <= {"*"} for one in left_out):
        raise Refused("`!=*` leaves every alert out: nothing would be quiet. Name what is to be left out.")
    if all(set(one) <= {"*"} for one in wanted):
        but, too = (f", but for what you leave out ({defused(match.said)})", ", too") if left_out else ("", "")
        raise Refused(f"That fits every alert there is{but}. Name what is to be quiet{too}, such as `service=checkout`.")
    if lasts is None:
        first = reason.split(maxsplit=1)[0] if reason else ""
        if first.isdigit():
            raise Refused(f"{first} what? Write `{first}m`, `{first}h` or `{first}d`.")
        raise Refused(f"For how long? Write it before the reason, such as `30m`, `2h` or `1d`: {EXAMPLE}")
    if not reason:
        raise Refused(f"Why? Add the reason at the end; whoever misses an alert reads it: {EXAMPLE}")
    return Wish(match, lasts, reason)


def _patterns_of(match: Matcher) -> list[str]:
    return [one for part in (match.fields, match.labels, match.annotations) for many in part.values() for one in many]


def _left_out_of(match: Matcher) -> list[str]:
    return [one for part in (match.but_fields, match.but_labels, match.but_annotations) for many in part.values() for one in many]


def _add(name: str, sign: str, value: str, found: dict[str, dict[str, tuple[str, ...]]]) -> None:
    """Add a matcher to those found so far, by the name of the part of a `Matcher` that it belongs to."""
    is_left_out = sign.startswith("!")
    if sign in ("=~", "!~"):
        value = value if value.startswith(REGEX) else f"{REGEX}{value}"
    in_a_map = LABEL.fullmatch(name)
    field = name.lower()
    if in_a_map:
        part, key = f"{in_a_map[1].lower()}s", in_a_map[2]
    else:
        part, key = ("fields", field) if field in FIELDS else ("labels", name)
    if part == "labels" and not in_a_map:
        _refuse_misspelt(name)
    into = found.setdefault(f"but_{part}" if is_left_out else part, {})
    if key in into:
        raise Refused(f"{key} stands here twice. Several patterns are written `{key}{'!' if is_left_out else ''}=one|other`.")
    _refuse_doubtful(name, "!" if is_left_out else "", value)
    into[key] = _patterns(key, value, is_field=part == "fields")


def _refuse_misspelt(name: str) -> None:
    """A label may be called anything; one that looks like a field is more likely that field."""
    near = [SHORT[name.lower()]] if name.lower() in SHORT else get_close_matches(name.lower()[:40], FIELDS, n=1, cutoff=0.75)
    if near:
        raise Refused(f"An alert has no field {name}. Did you mean {near[0]}? For a label of that name write `label.{name}=…`.")


def _refuse_doubtful(name: str, but: str, value: str) -> None:
    """What may be meant otherwise would keep nothing quiet, and whoever asked would believe that it does. In quotes it is meant."""
    doubtful = next((one for one in _parts(value) if '"' not in one and doubt_about(one)), None)
    if doubtful is not None:
        # Of `(a|b).*c` a part alone is none.
        whole = value.replace('"', "") if wrong_with(f"{REGEX}{doubtful}") else doubtful
        shown, meant = defused(whole), defused(as_expression(whole))
        expression = f"`{name}{but or '='}~{meant}` if it is a regular expression, " if meant else ""
        raise Refused(
            f"Only * and ? are wild in `{shown}`. Write {expression}`{name}{but}=one|other` for each word, or "
            f'`{name}{but}="{shown}"` if it is meant as it stands.'
        )


def _parts(value: str) -> list[str]:
    # Of an expression, `|` and `,` are its own.
    return [value] if value.startswith(REGEX) else [one.strip() for one in PATTERN.findall(value)]


def _patterns(name: str, value: str, *, is_field: bool) -> tuple[str, ...]:
    parts = _parts(value)
    patterns = tuple(dict.fromkeys(one.replace('"', "") for one in parts))
    if not value or not all(patterns):
        raise Refused(f"{name}= what? Write a word, a glob such as `{name}=check*`, or `{name}=re:` and an expression.")
    wrong = next(filter(None, map(wrong_with, patterns)), "")
    if wrong:
        raise Refused(f"{name}: {defused(wrong)}")
    known = WORDS.get(name, ()) if is_field else ()
    for one in patterns:
        if known and is_plain(one) and one.lower() not in known:
            more = " SEV1 to SEV5 is what routes make of it." if name == "severity" else ""
            raise Refused(f"{name} is one of {', '.join(known)}, not {defused(one[:40])}.{more}")
    return tuple(one.lower() if known and is_plain(one) else one for one in patterns)
