"""Requests made of real ones: what every source's sender sends, with something wrong in it. The same for the same seed."""

import ast
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from inspect import getsourcefile
from pathlib import Path
from random import Random
from string import ascii_letters
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from bot.alerts.registry import sources
from bot.alerts.source import FORM, TakesQueries
from tests.builders import NOON

SECRET = "fuzz-canary-19"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
LARGE = 4_900_000
"""Nearly what the way in takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, before it is signed. Header names are lower-case; with `query` it comes by GET."""

    source: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""

    def sent(self, now: datetime) -> dict[str, str]:
        """Its headers, signed by its sender; what it has of its own goes before."""
        signed = {name.lower(): value for name, value in sources()[self.source].sign(self.body, SECRET, now).items()}
        return signed | self.headers


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON as it is to be written, whatever it is."""

    text: str


# --- what is put in the place of something good --------------------------------------------------

LONG = 20_001
NOISE = "".join(Random(LONG).choices(ascii_letters, k=9000))
"""Of what can be made smaller, PostgreSQL keeps more in an index."""
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3.5, "", " ", "x", [], {}, [[]], {"": ""}, [None], [0, "a", None, {}, []], {"a": {"b": {"c": []}}},
    "null", "\x00", "a\x00b", "\u202e\u200b", "🔥" * 40, "<!channel> <@U1> <https://evil.example|https://pagerduty.com>", "a\r\nb",
    "../../etc/passwd", "'; DROP TABLE inbox; --", "${jndi:ldap://evil.example/x}", "{{ 7 * 7 }}", "%s%n%x", "=cmd()", "-1",
    "NaN", "Infinity", "1e999", "9" * 400, "0x10", "١٢٣", "x" * LONG, "a " * LONG, NOISE, "[" * 300, "https://[::1", "http://169.254.169.254/",
    "javascript:alert(1)", "https://a.example/" + "a" * 5000, "//evil.example", "https://user@evil.example:99999/",
    "2026-13-45T99:99:99Z", "9999-12-31T23:59:59.999999999-14:00", "0001-01-01T00:00:00Z", "0000-00-00", "1969-12-31T23:59:59Z",
    "2026-06-10", "12:00:00", 10**18, -(10**18), 2**53, 2**63, 2**64, 253402300800, 1e308, -1e-308, 5e-324,
    Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("-0"), Raw("1" + "0" * 400), Raw("0." + "1" * 400), Raw("01"), Raw("+1"),
    Raw('"\\ud800"'), Raw('"\\udfff\\ud800"'), Raw('"\\u0000"'), Raw('"\\x41"'), Raw('"a\nb"'), Raw('{"a": 1, "a": 2}'), Raw("'a'"),
    Raw('{"$ref": "#"}'), Raw("[1,]"), Raw("// a\n1"), Raw('"\\uD83D\\uDE00"'),
)  # fmt: skip
PLAIN = tuple(one for one in ODD if not isinstance(one, Raw))
DEPTHS = (3, 40, 190, 199, 201, 900, 5_000)
NAMES = (
    "",
    " ",
    "\x00",
    "__proto__",
    "constructor",
    "$ref",
    "a" * 5000,
    "é",
    "\u202e",
    "0",
    "labels",
    "status",
    "id",
    "alerts",
    "data",
)


@cache
def words_of(name: str) -> tuple[str, ...]:
    """Every word that a source's own file has in it: the names that it looks for, and the words that it knows."""
    path = getsourcefile(type(sources()[name]))
    assert path is not None
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    found = {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return tuple(sorted(one for one in found if 0 < len(one) <= 40 and "\n" not in one))


# --- what there is to begin with ------------------------------------------------------------------


def pool(more: Sequence[Request] = ()) -> dict[str, list[Request]]:
    """The requests of each source's own examples, Amazon's envelopes, and `more`."""
    found: dict[str, list[Request]] = {name: [] for name in sources()}
    for name, source in sources().items():
        for example in source.examples:
            headers = {"content-type": example.content_type, **{key.lower(): value for key, value in example.headers.items()}}
            found[name].append(Request(name, example.body_at(NOON), headers))
        if isinstance(source, TakesQueries):
            found[name] += [_by_query(one) for one in found[name]]
    found["cloudwatch"] += map(_envelope, ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"))
    for one in more:
        found[one.source].append(one)
    return found


def _by_query(one: Request) -> Request:
    tree = _read(one.body)
    fields = tree.items() if isinstance(tree, dict) else parse_qsl(one.body.decode())
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields}
    return Request(one.source, b"", {}, urlencode(texts | {"token": SECRET}))


def _envelope(type_: str) -> Request:
    """What SNS sends; who has no key of Amazon's cannot sign it, so most of what is wrong in it is found before that."""
    alarm = {"AlarmName": "a", "NewStateValue": "ALARM", "StateChangeTime": NOON.isoformat(), "Trigger": {"Dimensions": []}}
    fields = {
        "Type": type_, "MessageId": "m-1", "TopicArn": TOPIC, "Message": json.dumps(alarm), "Timestamp": NOON.isoformat(),
        "SignatureVersion": "2", "Signature": "AAAA", "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/a.pem", "Token": "t",
        "SubscribeURL": f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t",
    }  # fmt: skip
    return Request("cloudwatch", json.dumps(fields).encode(), {"content-type": "text/plain; charset=UTF-8"})


ADDRESSES = (
    "http://169.254.169.254/latest/meta-data/", "https://localhost/a.pem", "https://[::1]/a.pem", "https://2130706433/a.pem",
    "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem", "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
    "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem", "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
    "https://sns.eu-west-1.amazonaws.com\\@evil.example/a.pem", "https://sns.eu-west-1.amazonaws.com#@evil.example/a.pem",
    "https://sns.s3-eu-west-1.amazonaws.com/a.pem", "http://sns.eu-west-1.amazonaws.com/a.pem", "file:///etc/passwd",
    "https://sns.eu-west-1.amazonaws.com\u3002evil.example/a.pem", "HTTPS://SNS.EU-WEST-1.AMAZONAWS.COM/a.pem", "https://0x7f.1/a.pem",
    "https://sns.eu-west-1.amazonaws.com%2eevil.example/a.pem", "https://sns.eu-west-1.amazonaws.com\r\nHost: evil.example/a.pem",
    "gopher://sns.eu-west-1.amazonaws.com/a.pem", "https://snsxeu-west-1.amazonaws.com/a.pem", "//sns.eu-west-1.amazonaws.com/a.pem",
    "https://sns.eu-west-1.amazonaws.com/a.pem?x=.pem", "https://sns..amazonaws.com/a.pem", "https://sns.eu-west-1.amazonaws.co/a.pem",
)  # fmt: skip
"""Places that are not Amazon's, or not as Amazon writes them: nobody may be asked for anything there."""


# --- one request ----------------------------------------------------------------------------------


def requests(seed: int, starts: Mapping[str, Sequence[Request]], first: int = 0) -> Iterator[Request]:
    """Requests without end, of all sources by turns."""
    names, number = sorted(starts), first
    while True:
        yield made(seed, number, names[number % len(names)], starts)
        number += 1


def made(seed: int, number: int, source: str, starts: Mapping[str, Sequence[Request]]) -> Request:
    """The request of that number."""
    draw = Random(f"{seed}/{number}")
    one = draw.choice(starts[source])
    if draw.random() < 0.03:
        # What another sends, by mistake.
        other = draw.choice(starts[draw.choice(sorted(starts))])
        one = replace(other, source=source)
    return mistaken(draw, one, starts)


def mistaken(draw: Random, one: Request, starts: Mapping[str, Sequence[Request]]) -> Request:
    """The same with something wrong in it."""
    if one.query:
        return _mistaken_query(draw, one)
    chance = draw.random()
    if chance < 0.72:
        one = replace(one, body=_mistaken_value(draw, one))
    elif chance < 0.72 + 0.001:
        one = replace(one, body=draw.choice(BOMBS)(draw))
    else:
        one = replace(one, body=_mistaken_bytes(draw, one.body, starts))
    return _mistaken_headers(draw, one) if draw.random() < 0.2 else one


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _mistaken_value(draw: Random, one: Request) -> bytes:
    tree = _read(one.body)
    if tree is None or one.headers.get("content-type", "").startswith(FORM):
        return _mistaken_form(draw, one.body)
    held = [tree]
    for _ in range(draw.choice((1, 1, 1, 2, 3, 5))):
        draw.choice(CHANGES)(draw, held, one.source)
    return written(held[0]).encode("utf-8", "surrogatepass")


def _mistaken_form(draw: Random, body: bytes) -> bytes:
    """A form whose fields are lost, repeated, odd, or not even encoded."""
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) or [("payload", body.decode("utf-8", "replace"))]
    parts = []
    for name, value in pairs:
        chance = draw.random()
        if chance < 0.15:
            continue
        if chance < 0.5:
            odd = draw.choice(PLAIN)
            value = odd if isinstance(odd, str) else json.dumps(odd)
        parts.append(f"{quote(name)}={quote(value)}" if draw.random() < 0.9 else f"{name}={value}")
    parts += draw.choices(("%", "%zz=%", "=", "a", "%ff%fe=%80", "a=1&a=2", "%00=%00", "a[]=1", "+=+", "&&&&"), k=draw.randrange(3))
    if draw.random() < 0.002:
        parts += [f"f{number}=" for number in range(2_000)]
    return "&".join(parts).encode("utf-8", "surrogatepass")


def _mistaken_query(draw: Random, one: Request) -> Request:
    query = _mistaken_form(draw, one.query.encode()).decode("latin-1")
    if draw.random() < 0.95 and f"token={SECRET}" not in query:
        query += f"&token={SECRET}"
    return replace(one, query=query.encode("ascii", "ignore").decode()[:60_000])


# Each takes the tree as the only thing in a list, so that the whole of it can be replaced, too.
Held = list[Any]


def _places(held: Held) -> list[tuple[Any, Any]]:
    """Every place in a tree: what it is in, and its name or number there."""
    found: list[tuple[Any, Any]] = []
    rest: list[Any] = [held]
    while rest:
        one = rest.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        for key in keys:
            found.append((one, key))
            if isinstance(one[key], dict | list):
                rest.append(one[key])
    return found


def _odd(draw: Random) -> Any:
    """A value of its own: what is put in may be changed again."""
    return deepcopy(draw.choice(ODD))


def _is_odd(draw: Random, held: Held, source: str) -> None:
    inside, key = draw.choice(_places(held))
    inside[key] = _odd(draw)


def _is_another_kind(draw: Random, held: Held, source: str) -> None:
    inside, key = draw.choice(_places(held))
    value = inside[key]
    inside[key] = draw.choice((str(value), [value], {"value": value}, {str(value)[:50]: value}, [value] * 3, None, not value))


def _is_a_word(draw: Random, held: Held, source: str) -> None:
    """A word that the source knows, in a place where it may not."""
    inside, key = draw.choice(_places(held))
    inside[key] = draw.choice(words_of(source))


def _is_missing(draw: Random, held: Held, source: str) -> None:
    inside, key = draw.choice(_places(held))
    if inside is not held:
        del inside[key]


def _is_deep(draw: Random, held: Held, source: str) -> None:
    inside, key = draw.choice(_places(held))
    depth, value = draw.choice(DEPTHS), written(inside[key])
    is_list = draw.random() < 0.5
    inside[key] = Raw("[" * depth + value + "]" * depth if is_list else '{"a":' * depth + value + "}" * depth)


def _is_swapped(draw: Random, held: Held, source: str) -> None:
    places = _places(held)
    (inside, key), (other, name) = draw.choice(places), draw.choice(places)
    # As text: a tree in itself would have no end.
    one, two = Raw(written(inside[key])), Raw(written(other[name]))
    inside[key] = two
    if name in other if isinstance(other, dict) else name < len(other):
        other[name] = one


def _is_twice(draw: Random, held: Held, source: str) -> None:
    """The same name with two values."""
    objects = [one[key] for one, key in _places(held) if isinstance(one[key], dict) and one[key]]
    if objects:
        chosen = draw.choice(objects)
        name = draw.choice(list(chosen))
        chosen[Raw(_name(name))] = _odd(draw)


def _has_more(draw: Random, held: Held, source: str) -> None:
    """A name that the source looks for, or one that nobody does."""
    objects = [one[key] for one, key in _places(held) if isinstance(one[key], dict)]
    if objects:
        chosen = draw.choice(objects)
        name = draw.choice(words_of(source)) if draw.random() < 0.8 else draw.choice(NAMES)
        chosen[name] = draw.choice(words_of(source)) if draw.random() < 0.3 else _odd(draw)


def _is_many(draw: Random, held: Held, source: str) -> None:
    lists = [one[key] for one, key in _places(held) if isinstance(one[key], list) and one[key]]
    if lists:
        chosen = draw.choice(lists)
        chosen.extend([Raw(written(chosen[0]))] * draw.choice((1, 2, 30, 300)))


CHANGES: tuple[Callable[[Random, Held, str], None], ...] = (
    _is_odd, _is_odd, _is_odd, _is_odd, _is_another_kind, _is_another_kind, _is_a_word, _is_a_word, _is_missing, _is_missing,
    _has_more, _has_more, _is_deep, _is_swapped, _is_twice, _is_many,
)  # fmt: skip


def written(value: Any) -> str:
    """JSON, with what is raw as it is."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{_name(name)}:{written(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def _name(name: Any) -> str:
    return name.text if isinstance(name, Raw) else json.dumps(str(name))


# --- bytes ----------------------------------------------------------------------------------------


def _mistaken_bytes(draw: Random, body: bytes, starts: Mapping[str, Sequence[Request]]) -> bytes:
    if not body:
        body = b"{}"
    at = draw.randrange(len(body))
    match draw.randrange(14):
        case 0:
            return body[:at]
        case 1:
            return (
                body[:at]
                + draw.choice((b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80", b"\xc3"))
                + body[at:]
            )
        case 2:
            return body[:at] + b"\x00" * draw.choice((1, 2, 100)) + body[at:]
        case 3:
            changed = bytearray(body)
            for _ in range(draw.choice((1, 1, 3, 20))):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            return bytes(changed)
        case 4:
            return gzip.compress(body, 1, mtime=0)
        case 5:
            return zlib.compress(body, 1)
        case 6:
            return body.decode("utf-8", "replace").encode(draw.choice(("utf-16", "utf-32", "utf-7", "utf-8-sig")))
        case 7:
            return b"\xef\xbb\xbf" * draw.choice((1, 2)) + body
        case 8:
            other = draw.choice(starts[draw.choice(sorted(starts))]).body
            return body[:at] + other[draw.randrange(len(other) + 1) :]
        case 9:
            return body + draw.choice((b",", b"}", b"\n" + body, b" null", b"\x1a", b"\n\n\n"))
        case 10:
            return draw.choice(
                (b"", b" ", b"null", b"[]", b"{}", b'""', b"0", b"payload=%7B%7D", b"<?xml version='1.0'?><a/>", b"--x\r\n")
            )
        case 11:
            end = min(len(body), at + draw.choice((1, 8, 64)))
            return body[:at] + body[end:]
        case 12:
            return body[:at] + draw.choice((b"{", b"[", b'"', b"\\", b"\\u", b"\\ud800", b"1e5", b"-", b":", b",,")) + body[at:]
        case _:
            return draw.randbytes(draw.choice((1, 10, 100, 2_000)))


def _many_labels(draw: Random) -> bytes:
    labels = ",".join(f'"l{number}":"v"' for number in range(200_000))
    return f'{{"alerts":[{{"status":"firing","labels":{{{labels}}}}}],"labels":{{{labels[:1_000_000].rpartition(",")[0]}}}}}'.encode()


BOMBS: tuple[Callable[[Random], bytes], ...] = (
    _many_labels,
    lambda draw: b"[" * draw.choice((100_000, 1_000_000)),
    lambda draw: b'{"a":' * 400_000 + b"1" + b"}" * 400_000,
    lambda draw: b'{"title":"x","value":' + b"9" * 1_000_000 + b"}",
    lambda draw: b'{"title":"' + b"a b:" * 1_000_000 + b'"}',
    lambda draw: b'{"alerts":[' + b",".join([b"{}"] * 200_000) + b"]}",
    lambda draw: b"[" + b",".join([b'{"title":"x","check":{"token":"t"},"event":"check.down"}'] * 50_000) + b"]",
    lambda draw: b"a=" + b"%41" * 300_000,
    lambda draw: b"&".join([b"a=1"] * 900),
    lambda draw: gzip.compress(b"\x00" * 100_000_000, 1, mtime=0),
    lambda draw: b'{"title":"x","tags":"' + b"a:b," * 400_000 + b'"}',
    lambda draw: b'{"title":"' + b"[" * 500_000 + b'","body":"' + b"\\\\" * 400_000 + b'"}',
)
"""Large ones, each as a way to be expensive."""


# --- headers --------------------------------------------------------------------------------------

TYPES = (
    "application/json", "application/json; charset=utf-16", FORM, "text/plain", "multipart/form-data; boundary=x",
    "multipart/form-data", "application/cloudevents+json", "application/cloudevents-batch+json", "application/octet-stream", "",
    ";;;", "é", "text/ÿ; charset=utf-7",
)  # fmt: skip
HEADERS = (
    "",
    " ",
    "é" * 50,
    "ÿ<!channel>",
    "x" * 8_000,
    "a,b,c",
    "%ff%00%",
    "%ED%A0%80",
    "\t",
    "1e9",
    "١",
    "-1",
    "null",
    "\\x00",
    "'\"<script>",
)


def _mistaken_headers(draw: Random, one: Request) -> Request:
    headers = dict(one.headers)
    names = [name for name in headers if name != "content-type"] + [word for word in words_of(one.source) if NAME.fullmatch(word)]
    for _ in range(draw.choice((1, 1, 2))):
        if draw.random() < 0.5 or not names:
            headers["content-type"] = draw.choice(TYPES)
        else:
            name = draw.choice(names).lower()
            headers[name] = (
                draw.choice((*HEADERS, *draw.choices(words_of(one.source), k=4))).encode("latin-1", "replace").decode("latin-1")
            )
    if one.source == "cloudevents" and draw.random() < 0.5:
        given = ("id", "source", "type", "specversion", "subject", "time", "dataschema", "x")
        headers |= {
            f"ce-{name}": draw.choice((*HEADERS, "1.0", "/a", "a.firing", "2026-06-10T12:00:00Z")) for name in draw.sample(given, 4)
        }
    return replace(one, headers=headers)


NAME = re.compile(r"[a-zA-Z]+(-[a-zA-Z0-9]+)+")
"""What may be the name of a header."""
