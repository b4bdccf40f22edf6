"""CloudWatch: whose signature counts, who is asked for what, and how an alarm is read."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.sns import DIGESTS, envelope_of
from bot.alerts.source import Delivery
from bot.alerts.sources.cloudwatch import SOURCE
from bot.errors import Unavailable, Unverified
from bot.web.asking import Sns
from tests.alerts.test_corpus import CORPUS, delivered

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
TOKEN = "t0ken-canary-12"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"
CONFIRM = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"
ALARM = {
    "AlarmName": "orders-queue-age", "AlarmDescription": "severity=critical service=orders", "AWSAccountId": "111122223333",
    "NewStateValue": "ALARM", "OldStateValue": "OK", "NewStateReason": "640 s", "StateChangeTime": "2026-08-01T09:59:00.123+0000",
    "Region": "EU (Ireland)", "AlarmArn": "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:orders-queue-age",
    "Trigger": {"MetricName": "Age", "Namespace": "AWS/SQS", "Dimensions": [{"name": "QueueName", "value": "orders"}]},
}  # fmt: skip


@dataclass
class Amazon:
    """Somebody with a key and a certificate for it, who counts what is asked."""

    key: rsa.RSAPrivateKey
    pem: bytes
    asked: list[str] = field(default_factory=list)
    is_away: bool = False

    def fetch(self, address: str) -> bytes:
        self.asked.append(address)
        if self.is_away:
            raise Unavailable("Amazon did not answer (timeout)")
        return self.pem

    def sent(self, changed: dict[str, Any] | None = None, version: str = "2", **fields: Any) -> bytes:
        """An envelope, signed; what is `changed` is so after it was signed."""
        whole = {
            "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Message": json.dumps(ALARM),
            "Timestamp": NOW.isoformat(), "SignatureVersion": version, "SigningCertURL": CERTIFICATE,
        } | fields  # fmt: skip
        envelope = envelope_of(json.dumps(whole).encode())
        assert envelope is not None
        digest = DIGESTS.get(version, hashes.SHA256)
        signature = self.key.sign(envelope.signed_text(), padding.PKCS1v15(), digest())
        return json.dumps({**whole, "Signature": base64.b64encode(signature).decode(), **(changed or {})}).encode()


@pytest.fixture(scope="module")
def keys() -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    signed = made.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1)).sign(key, hashes.SHA256())
    return key, signed.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def amazon(keys) -> Amazon:
    return Amazon(*keys)


def delivery(body: bytes, headers: dict[str, str] | None = None, **query: str) -> Delivery:
    return Delivery(body, headers or {}, "main", NOW, query)


def taken(amazon: Amazon, body: bytes, secret: str = TOPIC, now: datetime = NOW, **query: str) -> None:
    """What the door does."""
    one = delivery(body, **query)
    SOURCE.verify(one, [secret], now)
    Sns(lambda: now, amazon.fetch)(one)


# --- whose it is ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(("secret", "query"), [(TOPIC, {}), (TOKEN, {"token": TOKEN})])
def test_what_amazon_signed_is_taken_by_its_topic_or_by_token(amazon, version, secret, query):
    taken(amazon, amazon.sent(version=version), secret, **query)

    assert amazon.asked == [CERTIFICATE]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"Message": "{}"}, "changed on its way"),
        ({"Subject": "Something else"}, "changed on its way"),
        ({"SignatureVersion": "1"}, "changed on its way"),
        ({"SignatureVersion": "3"}, "neither 1 nor 2"),
        ({"Signature": "no base64!"}, "cannot be read"),
        ({"Signature": None}, "changed on its way"),
    ],
)
def test_what_was_changed_is_refused(amazon, changed, why):
    with pytest.raises(Unverified, match=why):
        taken(amazon, amazon.sent(changed))


@pytest.mark.parametrize(
    "address",
    [
        "http://sns.eu-west-1.amazonaws.com/a.pem", "https://sns.eu-west-1.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/a.pem", "https://sns.eu-west-1.amazonaws.com@evil.example/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem", "https://s3.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.pem?n=1", "https://sns.s3-us-west-2.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.txt", "https://169.254.169.254/a.pem", "file:///etc/a.pem", "//sns", "", None, 7,
    ],
)  # fmt: skip
def test_nobody_but_amazon_is_asked_for_a_certificate(amazon, address):
    with pytest.raises(Unverified, match=r"sns\.REGION\.amazonaws\.com"):
        taken(amazon, amazon.sent({"SigningCertURL": address}))

    assert amazon.asked == []


def test_another_topic_is_refused_without_a_question(amazon):
    with pytest.raises(Unverified, match="no token"):
        taken(amazon, amazon.sent(TopicArn="arn:aws:sns:eu-west-1:444455556666:theirs"))

    assert amazon.asked == []


def test_a_topic_s_name_is_no_token(amazon):
    event = json.dumps({"detail-type": "CloudWatch Alarm State Change", "detail": {}}).encode()

    with pytest.raises(Unverified, match="no token is taken here"):
        SOURCE.verify(delivery(event, {"authorization": f"Bearer {TOPIC}"}), [TOPIC], NOW)
    with pytest.raises(Unverified, match="does not fit"):
        SOURCE.verify(delivery(event, {"authorization": f"Bearer {TOPIC}"}), [TOPIC, TOKEN], NOW)


def test_what_is_no_certificate_is_not_kept_as_one(amazon):
    right, amazon.pem = amazon.pem, b"<html>blocked by the proxy</html>"
    sns = Sns(lambda: NOW, amazon.fetch)
    for _ in range(2):
        with pytest.raises(Unavailable):
            sns(delivery(amazon.sent()))
    # Not asked again for a while.
    assert amazon.asked == [CERTIFICATE]
    sns._failed.clear()
    amazon.pem = right
    sns(delivery(amazon.sent()))


def test_a_certificate_that_ran_out_signs_nothing(amazon):
    with pytest.raises(Unverified, match="not valid now"):
        taken(amazon, amazon.sent(), now=NOW + timedelta(days=2))


def test_where_amazon_cannot_be_asked_the_sender_may_try_again(amazon):
    amazon.is_away = True

    with pytest.raises(Unavailable):
        taken(amazon, amazon.sent())


def test_a_raw_message_is_refused_whatever_token_it_has():
    raw = delivery(json.dumps(ALARM).encode(), {"x-amz-sns-rawdelivery": "true", "authorization": f"Bearer {TOKEN}"})

    with pytest.raises(Unverified, match="switch raw message delivery off"):
        SOURCE.verify(raw, [TOKEN], NOW)


def test_a_certificate_is_asked_for_once(amazon):
    sns = Sns(lambda: NOW, amazon.fetch)
    for _ in range(3):
        sns(delivery(amazon.sent()))

    assert amazon.asked == [CERTIFICATE]


# --- subscribing ------------------------------------------------------------------------------


def test_an_offer_is_confirmed_where_it_is_signed(amazon):
    taken(amazon, amazon.sent(Type="SubscriptionConfirmation", Token="abc", SubscribeURL=CONFIRM, Message="You chose to subscribe."))

    assert amazon.asked == [CERTIFICATE, CONFIRM]


def test_an_offer_that_was_changed_is_not_confirmed(amazon):
    offer = amazon.sent({"Token": "other"}, Type="SubscriptionConfirmation", Token="abc", SubscribeURL=CONFIRM, Message="Yes?")
    with pytest.raises(Unverified):
        taken(amazon, offer)

    assert CONFIRM not in amazon.asked


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/?Action=ConfirmSubscription", CONFIRM.replace("alarms", "others"),
        CONFIRM.replace("ConfirmSubscription", "DeleteTopic"), "",
    ],
)  # fmt: skip
def test_nothing_else_is_done_in_the_name_of_an_offer(amazon, address):
    with pytest.raises(Unverified, match="SubscribeURL"):
        taken(amazon, amazon.sent(Type="SubscriptionConfirmation", Token="abc", SubscribeURL=address, Message="Yes?"))

    assert amazon.asked == [CERTIFICATE]


def test_the_end_of_a_subscription_is_not_taken_back(amazon):
    end = amazon.sent(Type="UnsubscribeConfirmation", Token="abc", SubscribeURL=CONFIRM, Message="You chose to end it.")
    taken(amazon, end)

    assert amazon.asked == [CERTIFICATE]
    assert "nothing here any more" in SOURCE.parse(delivery(end), {}).ignored


# --- reading ----------------------------------------------------------------------------------


def read(amazon: Amazon, **changes: Any) -> Any:
    [alert] = SOURCE.parse(delivery(amazon.sent(Message=json.dumps(ALARM | changes))), {}).alerts
    return alert


@pytest.mark.parametrize(
    ("state", "status", "no_data"),
    [
        ("ALARM", Status.FIRING, False),
        ("OK", Status.RESOLVED, False),
        ("INSUFFICIENT_DATA", Status.INFO, True),
        ("?", Status.INFO, False),
    ],
)
def test_a_state_is_read_and_the_alarm_stays_the_same(amazon, state, status, no_data):
    alert = read(amazon, NewStateValue=state)

    assert (alert.status, alert.no_data, alert.identity) == (status, no_data, ALARM["AlarmArn"])
    assert alert.ended_at == (alert.started_at if status is Status.RESOLVED else None)


@pytest.mark.parametrize(
    ("description", "severity", "service"),
    [
        ("severity=critical service=orders", Severity.CRITICAL, "orders"),
        ("Too slow, severity=low; service=orders-api", Severity.LOW, "orders-api"),
        ("priority=P2", Severity.HIGH, "orders"),
        ("", Severity.UNKNOWN, "orders"),
        (None, Severity.UNKNOWN, "orders"),
    ],
)
def test_a_description_says_what_an_alarm_has_no_field_for(amazon, description, severity, service):
    alert = read(amazon, AlarmDescription=description)

    assert (alert.severity, alert.service) == (severity, service)


def test_an_alarm_leads_to_its_runbook_and_to_amazon_s_console(amazon):
    alert = read(amazon, AlarmDescription="severity=high runbook=https://wiki.example.com/age")

    assert [(one.rel, one.url) for one in alert.links] == [("runbook", "https://wiki.example.com/age")]
    assert alert.url == "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#alarmsV2:alarm/orders-queue-age"


def test_an_old_alarm_without_an_arn_is_known_by_account_region_and_name(amazon):
    assert read(amazon, AlarmArn=None).identity == "111122223333/EU (Ireland)/orders-queue-age"


def test_a_formula_s_dimensions_are_its_first_metric_s(amazon):
    metric = {"Metric": {"Dimensions": [{"name": "ServiceName", "value": "orders-web"}]}}

    alert = read(amazon, AlarmDescription="", Trigger={"Metrics": [{"Expression": "a / b"}, {"MetricStat": metric}]})

    assert alert.service == "orders-web"


def event(*metrics: Any, description: str = "") -> Alert:
    body = {
        "detail-type": "CloudWatch Alarm State Change", "account": "1", "region": "eu-west-1",
        "resources": ["arn:aws:cloudwatch:eu-west-1:1:alarm:age"],
        "detail": {
            "alarmName": "age", "state": {"value": "ALARM", "timestamp": NOW.isoformat()},
            "configuration": {"description": description, "metrics": list(metrics)},
        },
    }  # fmt: skip
    [alert] = SOURCE.parse(delivery(json.dumps(body).encode()), {}).alerts
    return alert


AGE = {"id": "m1", "metricStat": {"metric": {"namespace": "AWS/SQS", "name": "Age", "dimensions": {"QueueName": "orders"}}}}


def test_an_alarm_through_eventbridge_has_the_dimensions_that_sns_tells_of_it(amazon):
    through_sns, told = read(amazon, AlarmDescription=""), event(AGE)

    assert told.service == through_sns.service == "orders"
    assert [one.labels["QueueName"] for one in (told, through_sns)] == ["orders", "orders"]
    assert [one.labels["namespace"] for one in (told, through_sns)] == ["AWS/SQS", "AWS/SQS"]
    assert event(AGE, description="service=shop").service == "shop"


def test_a_formula_through_eventbridge_has_its_first_metric_s_dimensions():
    bare = {"metricStat": {"metric": {"namespace": "AWS/EC2", "name": "CPU"}}}

    assert event({"id": "e1", "expression": "m1 * 2"}, AGE).service == "orders"
    assert (event(bare).service, event(bare).labels["namespace"]) == (None, "AWS/EC2")


@pytest.mark.parametrize(
    ("dimensions", "service"),
    [
        ({"TableName": "carts"}, "carts"),
        ({"CacheClusterId": "sessions-1", "CacheNodeId": "0001"}, "sessions-1"),
        ({"StreamName": "clicks"}, "clicks"),
        ({"BucketName": "invoices", "StorageType": "StandardStorage"}, "invoices"),
        ({"AutoScalingGroupName": "web"}, "web"),
        ({"InstanceId": "i-0a1b"}, "i-0a1b"),
        ({"ClusterName": "shop", "ServiceName": "checkout"}, "checkout"),
        # Several services may stand behind one balancer.
        ({"LoadBalancer": "app/shared/50dc", "TargetGroup": "targetgroup/checkout/6d0e"}, "targetgroup/checkout/6d0e"),
        ({"LoadBalancer": "app/shared/50dc"}, "app/shared/50dc"),
        ({"Currency": "USD"}, None),
        ({}, None),
    ],
)
def test_a_service_is_what_the_alarm_watches_and_never_all_that_amazon_calls_by_one_name(dimensions, service):
    metric = {"id": "m1", "metricStat": {"metric": {"namespace": "AWS/Any", "name": "Errors", "dimensions": dimensions}}}

    assert event(metric).service == service


@pytest.mark.parametrize("metric", [None, {}, {"metricStat": None}, {"metricStat": {"metric": {"dimensions": ["odd"]}}}])
def test_an_alarm_through_eventbridge_without_a_metric_has_no_service(metric):
    assert event(metric).service is None


def test_what_is_no_alarm_is_shown(amazon):
    [notice] = SOURCE.parse(delivery(amazon.sent(Message="Spent 80 %", Subject="Budget")), {}).alerts

    assert (notice.status, notice.title, notice.description) == (Status.INFO, "Budget", "Spent 80 %")


# --- real ones --------------------------------------------------------------------------------

SIGNED = [one for one in sorted(CORPUS.glob("cloudwatch_sns/*.meta.json")) if "auth" in json.loads(one.read_text())]


@pytest.mark.skipif(not SIGNED, reason="the folder of real payloads is not beside this checkout")
@pytest.mark.parametrize("meta", SIGNED, ids=lambda path: path.name.removesuffix(".meta.json"))
def test_a_real_signature_holds_and_a_tampered_one_does_not(meta):
    one, asked = delivered(meta), list[str]()
    pem = (meta.parent / "test_signing_cert.pem").read_bytes()
    topic = json.loads(one.body)["TopicArn"]

    def door() -> None:
        SOURCE.verify(one, [topic], NOW)
        Sns(lambda: NOW, lambda address: asked.append(address) or pem)(one)

    if json.loads(meta.read_text())["expect"]["status"] == "reject_403":
        with pytest.raises(Unverified):
            door()
    else:
        door()
    assert all(address.startswith("https://sns.us-east-1.amazonaws.com/") for address in asked)
