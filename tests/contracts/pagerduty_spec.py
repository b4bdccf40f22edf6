"""PagerDuty's own description of its APIs, made usable, and what it has to say of a request and of its answer."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests.contracts.traffic import Exchange

SPECS = Path(__file__).parents[3] / "shared" / "specs"
REST, EVENTS = SPECS / "pagerduty-rest.openapi.json", SPECS / "pagerduty-events-v2.openapi.json"
IS_THERE = REST.exists() and EVENTS.exists()
ABSENT = "PagerDuty's descriptions of its APIs are not beside this checkout"
DOORS = {"/pagerduty/api": REST, "/pagerduty/events": EVENTS}
"""Where the sandbox has each API, and the description of it."""
VERSION = "application/vnd.pagerduty+json;version=2"
HOST = "https://pagerduty.test"


@dataclass(slots=True)
class Request:
    """A request as openapi-core reads one."""

    path: str
    method: str
    parameters: RequestParameters
    content_type: str
    body: bytes | None
    host_url: str = HOST


@dataclass(slots=True)
class Answer:
    """An answer as openapi-core reads one."""

    status_code: int
    headers: Headers
    content_type: str
    data: bytes | None


def is_pagerduty(exchange: Exchange) -> bool:
    """Whether a call went to one of PagerDuty's APIs."""
    return exchange.path.startswith(tuple(DOORS))


def operation(exchange: Exchange) -> str:
    """What a call is called in the description, with the status of its answer."""
    path = exchange.path.removeprefix("/pagerduty/api").removeprefix("/pagerduty/events")
    found = [one for one in document(_spec(exchange))["paths"] if _fits(one, path)]
    return f"{exchange.method} {min(found, key=lambda one: one.count('{'), default=path)} {exchange.status}"


def _fits(template: str, path: str) -> bool:
    pairs = list(zip(template.split("/"), path.split("/"), strict=False))
    return template.count("/") == path.count("/") and all(one == given or one.startswith("{") for one, given in pairs)


def wrong_in_request(exchange: Exchange) -> list[str]:
    """What PagerDuty's description has against a request: its path, headers, query and body, unknown names too."""
    errors = _api(_spec(exchange), "forbid").iter_request_errors(_request(exchange))
    return [*_words(errors), *_unknown_query(exchange), *_other_version(exchange)]


def wrong_in_answer(exchange: Exchange) -> list[str]:
    """What PagerDuty's description has against an answer."""
    headers = Headers(dict(exchange.answer_headers))
    content_type = headers.get("content-type", "").partition(";")[0]
    answer = Answer(exchange.status, headers, content_type, exchange.answer or None)
    return _words(_api(_spec(exchange), "allow").iter_response_errors(_request(exchange), answer))


def _spec(exchange: Exchange) -> Path:
    return next(spec for door, spec in DOORS.items() if exchange.path.startswith(door))


def _request(exchange: Exchange) -> Request:
    door = next(one for one in DOORS if exchange.path.startswith(one))
    query = ImmutableMultiDict(parse_qsl(exchange.query, keep_blank_values=True))
    parameters = RequestParameters(query=query, header=Headers(dict(exchange.headers)))
    content_type = exchange.headers.get("content-type", "").partition(";")[0]
    return Request(exchange.path.removeprefix(door), exchange.method.lower(), parameters, content_type, exchange.body or None)


def _unknown_query(exchange: Exchange) -> Iterator[str]:
    """PagerDuty ignores a query it does not know: the question would be another one than was meant."""
    _, path, _ = operation(exchange).split(" ")
    described = document(_spec(exchange))
    given = described["paths"].get(path, {}).get(exchange.method.lower(), {}).get("parameters", [])
    known = {_followed(described, one)["name"] for one in given}
    yield from (f"no query is called {name}" for name, _ in parse_qsl(exchange.query) if name not in known)


def _other_version(exchange: Exchange) -> Iterator[str]:
    if _spec(exchange) == REST and exchange.headers.get("accept") != VERSION:
        yield f"the header accept asks for no version: {VERSION}"


def _words(errors: Iterator[Exception]) -> list[str]:
    return [said for error in errors for said in _said(error)]


def _said(error: BaseException) -> list[str]:
    """An error in words, down to the values that are wrong."""
    details = getattr(error, "schema_errors", None)
    if details:
        return [f"{'/'.join(map(str, one.absolute_path)) or 'body'}: {one.message[:300]}{_deeper(one)}" for one in details]
    cause = error.__cause__
    return _said(cause) if isinstance(cause, OpenAPIError) else [f"{type(error).__name__}: {error}"]


def _deeper(error: Any) -> str:
    """Of the shapes that something may have, what it lacks to be the likeliest."""
    shapes: dict[Any, list[Any]] = {}
    for one in error.context or ():
        shapes.setdefault(one.schema_path[0], []).append(one)
    likeliest = min(shapes.values(), key=lambda one: (any(sub.validator == "enum" for sub in one), len(one)), default=[])
    return "".join(f"; {'/'.join(map(str, one.absolute_path))}: {one.message[:200]}{_deeper(one)}" for one in likeliest)


# --- the descriptions, mended -----------------------------------------------------------------


@cache
def _api(path: Path, unknown: Literal["allow", "forbid"]) -> OpenAPI:
    """A description, ready to be asked. PagerDuty's answers have fields that it does not describe; what we send has none."""
    return OpenAPI.from_dict(document(path), config=Config(spec_validator_cls=None, additional_properties_default_policy=unknown))


@cache
def document(path: Path) -> dict[str, Any]:
    """A description as a value, with what it says otherwise than PagerDuty does mended."""
    given: dict[str, Any] = _mended(json.loads(path.read_text(encoding="utf-8")))
    given["servers"] = [{"url": HOST}]
    if path == EVENTS:
        given["paths"] = {f"/v2{name}": one for name, one in given["paths"].items()}
        return given
    schemas = given["components"]["schemas"]
    # Its own example, and every client there is, wrap each target.
    target = "ResponderRequestTargetReference"
    schemas["Target"] = schemas[target]
    schemas[target] = {"type": "object", "properties": {"responder_request_target": {"$ref": "#/components/schemas/Target"}}}
    # Its own list of the types of entries, and every client there is, call it by this name.
    schemas["AcknowledgeLogEntry"]["allOf"][1]["properties"]["type"]["enum"] = ["acknowledge_log_entry"]
    # Parts that are put together of shapes which, each by itself, forbid the others' fields; and details that are a text
    # in its own example and every client.
    opened = given["paths"]["/incidents"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["incident"]
    opened["properties"] |= {name: _reference(f"{name}_reference") for name in ("service", "escalation_policy")}
    opened["properties"]["body"] = _closed(type={"enum": ["incident_body"]}, details={"type": "string"})
    for one in given["paths"].values():
        if "get" in one:
            asked = one["get"].get("parameters", [])
            one["get"]["parameters"] = [it for it in asked if _followed(given, it)["name"] != "Content-Type"]
    return given


def _reference(kind: str) -> dict[str, Any]:
    return _closed(id={"type": "string"}, type={"enum": [kind]})


def _closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


NULL_IN_EXAMPLES = ("resolve_reason",)
"""Fields that are null in the description's own examples, and not in its words."""


def _mended(value: Any) -> Any:
    """Without `readOnly` (ids that a request needs have it), with null where it is said in words, and with shapes that overlap."""
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    found = {name: _mended(one) for name, one in value.items() if name != "readOnly" or not isinstance(one, bool)}
    if found.get("type") == "object" and not {"properties", "allOf", "oneOf", "anyOf"} & found.keys():
        found.setdefault("additionalProperties", True)
    if isinstance(found.get("oneOf"), list):
        found["anyOf"] = found.pop("oneOf")
    if isinstance(found.get("properties"), dict):
        found["properties"] = {name: _or_null(name, one) for name, one in found["properties"].items()}
    return found


def _or_null(name: str, schema: Any) -> Any:
    """A property that may be null where its description says so."""
    is_said = "null" in str(schema.get("description", "")) if isinstance(schema, dict) else False
    if not (is_said or name in NULL_IN_EXAMPLES):
        return schema
    return {"anyOf": [schema, {"type": "object", "nullable": True, "maxProperties": 0}]}


def _followed(given: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in one:
        return one
    found: Any = given
    for part in one["$ref"].removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found
