"""Senders that ask before they send, that send by GET, and that somebody else has to vouch for."""

from urllib.parse import urlencode

import pytest

from bot.alerts.source import FORM
from bot.errors import Unavailable
from tests.web.served import SECRET, Served, dumped

ENVELOPE = {
    "Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-west-1:1:alarms", "Message": "{}", "Signature": "AAAA",
    "SignatureVersion": "2", "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/a.pem", "Timestamp": "2026-08-01T10:00:00Z",
}  # fmt: skip


# --- OPTIONS ----------------------------------------------------------------------------------


def test_a_sender_of_cloudevents_that_asks_is_told_that_it_may(served: Served):
    answer = served.ask("OPTIONS", "/hooks/cloudevents/main", headers={"WebHook-Request-Origin": "events.example.com"})

    assert answer.status == 200
    assert answer.headers["webhook-allowed-origin"] == "events.example.com"
    assert answer.headers["webhook-allowed-rate"] == "*"


@pytest.mark.parametrize(("source", "headers"), [("cloudevents", {}), ("grafana", {"WebHook-Request-Origin": "x.example"})])
def test_any_other_question_is_answered_with_how_to_send(served: Served, source, headers):
    assert "POST" in served.ask("OPTIONS", f"/hooks/{source}/main", headers=headers).refused(405)


def test_to_be_allowed_is_no_proof(served: Served):
    served.ask("POST", "/hooks/cloudevents/main", b"{}", {"WebHook-Request-Origin": "events.example.com"}).refused(401)


# --- GET --------------------------------------------------------------------------------------


def test_what_comes_by_get_is_read_as_a_form_and_its_token_is_not_kept(served: Served):
    fields = {"monitorID": "77", "monitorFriendlyName": "Shop", "alertType": "1", "token": SECRET}

    served.ask("GET", f"/hooks/uptimerobot/main?{urlencode(fields)}").taken()
    served.is_read()

    [kept] = [one for one in served.story.bot.store.deliveries(("done",), 50) if one.source == "uptimerobot"]
    assert kept.body == b"monitorID=77&monitorFriendlyName=Shop&alertType=1"


def test_a_proxy_that_repeats_the_address_does_not_put_its_token_into_the_record(served: Served):
    told = {"X-Original-URI": f"/hooks/generic/main?token={SECRET}", "X-Forwarded-Proto": "https", "Content-Type": "application/json"}
    served.ask("POST", f"/hooks/generic/main?token={SECRET}", b'{"title": "Proxied", "status": "resolved"}', told).taken()
    with served.story.bot.store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT headers FROM inbox").all()

    kept = "".join(str(row[0]) for row in rows)
    assert SECRET not in kept
    assert "x-forwarded-proto" in kept


@pytest.mark.parametrize(
    ("source", "body", "content_type", "kept"),
    [
        (
            "honeycomb", dumped({"id": "t1", "name": "Slow", "status": "OK", "shared_secret": SECRET, "n": 1.5}), "application/json",
            b'{"id":"t1","name":"Slow","status":"OK","n":1.5}',
        ),
        ("statuscake", f"Name=a+b&Token={SECRET}&Status=Up&URL=&T%6fken=x".encode(), FORM, b"Name=a+b&Status=Up&URL="),
    ],
)  # fmt: skip
def test_what_proves_in_the_body_who_sent_it_is_not_kept(served: Served, source, body, content_type, kept):
    served.ask("POST", f"/hooks/{source}/main", body, {"Content-Type": content_type}).taken()
    served.is_read()

    [found] = [one for one in served.story.bot.store.deliveries(("done",), 50) if one.source == source]
    assert found.body == kept


def test_uptime_kuma_s_parts_may_come_by_get(served: Served):
    fields = {
        "msg": "[Shop] [🔴 Down] timeout", "monitor": '{"id": 5, "name": "Shop"}',
        "heartbeat": '{"monitorID": 5, "status": 0, "msg": "timeout", "time": "2026-08-01 10:00:00.000"}',
    }  # fmt: skip
    served.ask("GET", f"/hooks/uptime_kuma/main?{urlencode(fields | {'token': SECRET})}").taken()


def test_without_its_token_nothing_comes_by_get(served: Served):
    served.ask("GET", "/hooks/uptimerobot/main?monitorID=77&alertType=1").refused(401)


def test_others_do_not_send_by_get(served: Served):
    served.ask("GET", f"/hooks/generic/main?title=x&token={SECRET}").refused(405)


# --- SNS --------------------------------------------------------------------------------------


def sent(served: Served, **changes: object):
    return served.ask("POST", f"/hooks/cloudwatch/main?token={SECRET}", dumped(ENVELOPE | changes), {"Content-Type": "text/plain"})


def test_where_amazon_cannot_be_asked_the_sender_is_told_to_try_again(served: Served):
    asked = list[str]()

    def away(address: str) -> bytes:
        asked.append(address)
        raise Unavailable("Amazon did not answer (timeout)")

    served.story.bot.sns.fetch = away
    answer = sent(served)

    assert "Amazon did not answer" in answer.refused(503)
    assert answer.headers["retry-after"]
    assert asked == ["https://sns.eu-west-1.amazonaws.com/a.pem"]


@pytest.mark.parametrize("address", ["https://sns.eu-west-1.amazonaws.com.evil.example/a.pem", "http://127.0.0.1:1/a.pem"])
def test_nobody_else_is_asked(served: Served, address):
    asked = list[str]()
    served.story.bot.sns.fetch = lambda one: asked.append(one) or b""

    sent(served, SigningCertURL=address).refused(401)

    assert asked == []


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"Type": 7}', b'{"Type": [7]}', b'{"Type": {"a": 1}, "TopicArn": "t"}'])
def test_what_is_no_envelope_and_has_the_token_is_put_aside_and_no_error_of_ours(served: Served, body):
    answer = served.ask("POST", f"/hooks/cloudwatch/main?token={SECRET}", body)

    assert answer.status in (202, 400)
