"""Links into a tracer (Jaeger, Tempo, Zipkin …), from the trace that an alert names."""

import re
from dataclasses import replace

from bot.alerts.alert import Alert, Link
from bot.alerts.reading import web_url

NAMES = ("trace_id", "traceid", "trace.id", "dd.trace_id", "otel.trace_id", "x-trace-id")
"""What the label or annotation is called, in small letters."""
TRACE = re.compile(r"[0-9a-fA-F]{8,64}", re.ASCII)
PLACE = "{trace_id}"


def with_trace(alert: Alert, address: str) -> Alert:
    """The alert with a link to its trace, at `address` with the trace's id in place of {trace_id}; as it is where it names
    none, or has such a link already.
    """
    if not address or any(one.rel == "trace" for one in alert.links):
        return alert
    said = {**alert.annotations, **alert.labels}
    found = next((value.strip() for name, value in said.items() if name.lower() in NAMES and TRACE.fullmatch(value.strip())), None)
    url = web_url(address.replace(PLACE, found)) if found else None
    return replace(alert, links=(*alert.links, Link("trace", url, "Trace"))) if url else alert
