"""Links into a tracer."""

import pytest

from bot.alerts.alert import Link
from bot.alerts.tracing import with_trace
from bot.errors import Broken
from bot.incidents.policy import read
from tests.builders import alert

JAEGER = "https://jaeger.example.com/trace/{trace_id}"
ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("name", ["trace_id", "traceID", "traceId", "dd.trace_id"])
@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_the_trace_that_an_alert_names_is_linked(name, where):
    linked = with_trace(alert(**{where: {name: ID}}), JAEGER)

    assert linked.links == (Link("trace", f"https://jaeger.example.com/trace/{ID}", "Trace"),)


@pytest.mark.parametrize("value", ["", "none", "../../admin", "4bf92f35?x=1", "a b", "<script>", "0" * 80])
def test_what_is_no_trace_is_no_link(value):
    assert with_trace(alert(labels={"trace_id": value}), JAEGER).links == ()


def test_without_an_address_there_is_no_link():
    assert with_trace(alert(labels={"trace_id": ID}), "").links == ()


def test_a_sender_s_own_link_stays_the_only_one():
    own = (Link("trace", "https://sender.example.com/1", "Trace"),)

    assert with_trace(alert(labels={"trace_id": ID}, links=own), JAEGER).links == own


@pytest.mark.parametrize("address", ["https://jaeger.example.com/", "javascript:alert({trace_id})", "{trace_id}"])
def test_an_address_that_leads_to_no_trace_is_named(address):
    with pytest.raises(Broken, match=r"traces: .*\{trace_id\}"):
        read(f"traces: '{address}'")
