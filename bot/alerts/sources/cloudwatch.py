"""Amazon CloudWatch's alarms: through SNS, or through an API destination of EventBridge.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions.html
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import first, first_label, json_object, links_from, long, moment, object_at, severity_of, short, text_of
from bot.alerts.sns import CONFIRMATION, UNSUBSCRIBED, Envelope, envelope_of
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable, Unverified

ARN = re.compile(r"arn:aws[a-z-]*:cloudwatch:([a-z0-9-]+):(\d+):alarm:(.+)", re.ASCII)
SAID = re.compile(r"(?:^|[\s,;])(severity|priority|service|environment|env|runbook|dashboard)=([^\s,;]+)", re.ASCII)
"""What a description says as name=value: an alarm has no labels."""
TOPIC = "arn:"
LARGEST = 262_144
"""SNS and EventBridge send no more; nothing larger is read before it is known whose it is."""
STATES = {"ALARM": Status.FIRING, "OK": Status.RESOLVED, "INSUFFICIENT_DATA": Status.INFO}
DIMENSIONS = (
    "service", "Service", "ServiceName", "ApiName", "FunctionName", "TargetGroup", "LoadBalancer", "LoadBalancerName",
    "DBInstanceIdentifier", "DBClusterIdentifier", "TableName", "CacheClusterId", "ReplicationGroupId", "QueueName", "TopicName",
    "StreamName", "DeliveryStreamName", "BucketName", "DomainName", "AutoScalingGroupName", "ClusterName", "InstanceId",
)  # fmt: skip
"""What an alarm watches, by the dimension that tells it from others of its kind; the first that is there counts. A namespace
tells nothing apart: two tables that have nothing to do with each other are both of AWS/DynamoDB.
"""
EVENT = "CloudWatch Alarm State Change"
SETUP = """\
# HOOK_SECRETS: cloudwatch/main={secret}, or cloudwatch/main=arn:aws:sns:REGION:ACCOUNT:TOPIC, then without ?token=
aws sns set-topic-attributes --topic-arn TOPIC_ARN --attribute-name SignatureVersion --attribute-value 2
aws sns subscribe --topic-arn TOPIC_ARN --protocol https \\
  --notification-endpoint '{url}?token={secret}'
# The subscription confirms itself. Leave raw message delivery off: raw messages are not signed.
aws cloudwatch put-metric-alarm --alarm-name checkout-5xx … \\
  --alarm-description 'severity=critical service=checkout runbook=https://wiki.example.com/5xx' \\
  --alarm-actions TOPIC_ARN --ok-actions TOPIC_ARN
# Instead of SNS: an EventBridge API destination to {url} with the header Authorization: Bearer {secret}
"""


class CloudWatch:
    """Alarms in SNS' envelope, whose signature is Amazon's own, or as events of EventBridge, by token. An alarm has no
    severity: write `severity=critical service=…` into its description. INSUFFICIENT_DATA is recorded, and pages nobody unless a
    route asks for it.
    """

    name = "cloudwatch"
    title = "AWS CloudWatch"
    setup = SETUP
    identity_window_seconds: int | None = None
    vouched_by = "Amazon"

    @property
    def examples(self) -> Sequence[Example]:
        """An alarm and its end, as EventBridge sends them: nobody but Amazon can sign for SNS."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By token; or, of SNS, by the topic, where a secret names it: the signature proves it, and is looked at next.

        Who takes a delivery asks Amazon for the certificate: see `bot/web/asking.py`.
        """
        signatures.require(secrets, delivery, self.name)
        if delivery.headers.get("x-amz-sns-rawdelivery", "").lower() == "true":
            raise Unverified("no signature; switch raw message delivery off for this subscription")
        envelope = _envelope(delivery)
        if envelope is not None:
            # Before anything is asked for.
            _ = envelope.certificate
            if any(hmac.compare_digest(envelope.topic.encode(), secret.encode()) for secret in secrets):
                return
        # A topic's name is no secret: it proves nothing but with Amazon's signature.
        tokens = [one for one in secrets if not one.startswith(TOPIC)]
        if not tokens:
            raise Unverified("no token is taken here, only what SNS sends of the topics in HOOK_SECRETS")
        signatures.check_token(delivery, tokens, self.name)

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The token, as EventBridge sends it."""
        return {"Authorization": f"Bearer {secret}"}

    def delivery_id(self, delivery: Delivery) -> str:
        """SNS' message id, EventBridge's event id, or the body."""
        try:
            body = json_object(delivery.body)
        except Unreadable:
            return signatures.content_id(delivery)
        return first(body.get("MessageId"), body.get("id"))[:128] or signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """One alarm; of SNS also what is no alarm."""
        envelope = envelope_of(delivery.body)
        if envelope is not None:
            return _enveloped(envelope, delivery)
        body = json_object(delivery.body)
        if body.get("detail-type") == EVENT:
            return Reading(alerts=(_event(body, delivery),))
        if "detail-type" in body:
            return Reading(ignored=f"{text_of(body['detail-type'])} is no alarm")
        raise Unreadable("Type: missing; neither an SNS envelope nor an event of EventBridge")


def _envelope(delivery: Delivery) -> Envelope | None:
    if len(delivery.body) > LARGEST:
        return None
    try:
        return envelope_of(delivery.body)
    except Unreadable:
        return None


def _enveloped(envelope: Envelope, delivery: Delivery) -> Reading:
    if envelope.type == CONFIRMATION:
        return Reading(ignored=f"the subscription to {envelope.topic} was confirmed")
    if envelope.type == UNSUBSCRIBED:
        return Reading(ignored=f"{envelope.topic} sends nothing here any more")
    try:
        message = json_object(envelope.message.encode(errors="replace"))
    except Unreadable:
        return Reading(alerts=(_notice(envelope, delivery),))
    if "AlarmName" not in message:
        return Reading(alerts=(_notice(envelope, delivery),))
    return Reading(alerts=(_alarm(message, envelope, delivery),))


def _notice(envelope: Envelope, delivery: Delivery) -> Alert:
    """Something else that is published to the topic: shown, and nobody's page."""
    at = moment(envelope.fields.get("Timestamp"))
    return Alert(
        source="cloudwatch",
        identity=f"{envelope.topic}/{envelope.subject}"[:300],
        status=Status.INFO,
        title=short(envelope.subject or envelope.message or "A notice without words"),
        description=long(envelope.message),
        labels={"topic": envelope.topic},
        started_at=at or delivery.received_at,
        occurrence=envelope.id or None,
        defaults=() if at else ("started_at",),
    )


def _alarm(message: Mapping[str, Any], envelope: Envelope, delivery: Delivery) -> Alert:
    trigger = object_at(message.get("Trigger"), "Trigger")
    metric = _metric(trigger, trigger.get("Metrics"))
    arn = text_of(message.get("AlarmArn"))
    name, account = text_of(message.get("AlarmName")), text_of(message.get("AWSAccountId"))
    return _alert(
        name, arn or f"{account}/{text_of(message.get('Region'))}/{name}",
        text_of(message.get("NewStateValue")), text_of(message.get("OldStateValue")), text_of(message.get("NewStateReason")),
        text_of(message.get("AlarmDescription")), message.get("StateChangeTime"), delivery,
        arn=arn, account=account, namespace=text_of(metric.get("Namespace")), dimensions=_dimensions(metric.get("Dimensions")),
        occurrence=envelope.id, rest={**message, "TopicArn": envelope.topic, "Subject": envelope.subject},
    )  # fmt: skip


def _event(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    detail = object_at(body.get("detail"), "detail")
    state, before = object_at(detail.get("state"), "detail.state"), object_at(detail.get("previousState"), "detail.previousState")
    settings = object_at(detail.get("configuration"), "detail.configuration")
    resources, metric = body.get("resources"), _metric({}, settings.get("metrics"))
    arn = first(*resources[:1]) if isinstance(resources, list) else ""
    name, account = text_of(detail.get("alarmName")), text_of(body.get("account"))
    return _alert(
        name, arn or f"{account}/{text_of(body.get('region'))}/{name}",
        text_of(state.get("value")), text_of(before.get("value")), text_of(state.get("reason")),
        text_of(settings.get("description")), state.get("timestamp"), delivery,
        arn=arn, account=account, namespace=text_of(metric.get("namespace")), dimensions=_dimensions(metric.get("dimensions")),
        occurrence=text_of(body.get("id")), rest=body,
    )  # fmt: skip


def _alert(
    name: str,
    identity: str,
    state: str,
    before: str,
    reason: str,
    description: str,
    changed: Any,
    delivery: Delivery,
    *,
    arn: str,
    account: str,
    namespace: str,
    dimensions: Mapping[str, str],
    occurrence: str,
    rest: Mapping[str, Any],
) -> Alert:
    said = dict(SAID.findall(description))
    place = ARN.fullmatch(arn)
    region = place[1] if place else ""
    status, at = STATES.get(state, Status.INFO), moment(changed)
    word = said.get("severity") or said.get("priority") or ""
    given = {"alarm": name, "account": account, "region": region, "namespace": namespace, "state_before": before}
    labels = {**dimensions, **{key: value for key, value in given.items() if value}, **said}
    defaults = () if at else ("ended_at", "started_at") if status is Status.RESOLVED else ("started_at",)
    moved = at or delivery.received_at
    console = (
        f"https://console.aws.amazon.com/cloudwatch/home?region={region}#alarmsV2:alarm/{quote(name, safe='')}" if region else None
    )
    return Alert(
        source="cloudwatch",
        identity=identity[:300],
        status=status,
        title=short(name) or "An alarm without a name",
        severity=severity_of(word) if word else Severity.UNKNOWN,
        description=long("\n".join(filter(None, (description, reason)))),
        service=said.get("service") or first_label(dimensions, DIMENSIONS),
        environment=said.get("environment") or said.get("env"),
        labels=labels,
        url=console,
        links=links_from([("runbook", said.get("runbook"), "Runbook"), ("dashboard", said.get("dashboard"), "Dashboard")]),
        started_at=moved,
        ended_at=moved if status is Status.RESOLVED else None,
        changed_at=at,
        occurrence=occurrence or None,
        source_status=state or None,
        source_severity=word or None,
        no_data=state == "INSUFFICIENT_DATA",
        defaults=defaults if name else (*defaults, "title"),
        attributes={
            key: value for key, value in rest.items() if key not in ("AlarmName", "AlarmDescription", "NewStateReason", "AlarmArn")
        },
    )


def _metric(own: Mapping[str, Any], metrics: Any) -> Mapping[str, Any]:
    """The metric that an alarm watches: its `own`, or of those that a formula is made of the first that has dimensions.

    EventBridge tells every alarm as a formula, in names that begin with a small letter.
    """
    if isinstance(own.get("Dimensions"), list):
        return own
    given = [one for one in metrics if isinstance(one, dict)] if isinstance(metrics, list) else []
    stats = [_either(one, "MetricStat") for one in given]
    made_of = [found for one in stats if isinstance(one, dict) and isinstance(found := _either(one, "Metric"), dict)]
    return next((one for one in made_of if _either(one, "Dimensions")), next(iter(made_of), own))


def _either(given: Mapping[str, Any], name: str) -> Any:
    return given.get(name) or given.get(name[0].lower() + name[1:])


def _dimensions(given: Any) -> dict[str, str]:
    """SNS has a list of names and values, EventBridge an object."""
    if isinstance(given, dict):
        return {text_of(name): text_of(value) for name, value in given.items() if text_of(name)}
    pairs = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    return {text_of(one.get("name")): text_of(one.get("value")) for one in pairs if text_of(one.get("name"))}


WATCHED = {
    "metric": {"namespace": "AWS/SQS", "name": "ApproximateAgeOfOldestMessage", "dimensions": {"QueueName": "orders"}},
    "period": 60, "stat": "Maximum",
}  # fmt: skip


def _example(name: str, status: Status) -> Example:
    state, before = ("OK", "ALARM") if status is Status.RESOLVED else ("ALARM", "OK")

    def build(now: datetime) -> Mapping[str, object]:
        at = now.replace(microsecond=0)
        return {
            "version": "0", "id": f"example-{state.lower()}-{int(at.timestamp())}", "detail-type": EVENT,
            "source": "aws.cloudwatch", "account": "111122223333", "time": at.isoformat(), "region": "eu-west-1",
            "resources": ["arn:aws:cloudwatch:eu-west-1:111122223333:alarm:orders-queue-age"],
            "detail": {
                "alarmName": "orders-queue-age",
                "configuration": {
                    "description": "severity=critical service=orders runbook=https://wiki.example.com/queue-age",
                    "metrics": [{"id": "m1", "returnData": True, "metricStat": WATCHED}],
                },
                "previousState": {"value": before, "timestamp": (at - timedelta(minutes=9)).isoformat()},
                "state": {
                    "value": state, "timestamp": at.isoformat(),
                    "reason": "The oldest order waits for 640 s." if state == "ALARM" else "The oldest order waits for 40 s.",
                },
            },
        }  # fmt: skip

    return Example(name, f"Orders wait too long in their queue{'' if state == 'ALARM' else ', no more'}", status, build)


EXAMPLES = (_example("queue-age", Status.FIRING), _example("queue-age-resolved", Status.RESOLVED))

SOURCE = CloudWatch()
