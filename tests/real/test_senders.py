"""More real senders against the whole bot, each set up with what `python -m bot sources show` prints, word for word: what
fires opens an incident, what is over clears it.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from bot.alerts.sns import CONFIRMATION, NOTIFICATION, envelope_of
from bot.clock import wall_clock
from sandbox.calls import get, post
from tests.commands.terminal import Terminal, files_of_the_team
from tests.real.elasticsearch import Elasticsearch
from tests.real.senders import TOP, UNPACKED
from tests.stories.story import Story, telling

TOKEN = "CHOOSE-A-LONG-TOKEN"
"""What the snippets have in them until somebody chooses one."""
NAMES = ("netdata", "elastalert2", "cloudevents", "cloudwatch")
PYTHON = Path(os.environ.get("FIRSTFIVE_SENDERS") or TOP / ".cache" / "senders") / "bin" / "python"
NOTIFY = UNPACKED / "usr" / "lib" / "netdata" / "plugins.d" / "alarm-notify.sh"
SECONDS = 60


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with telling(f"sqlite:///{tmp_path / 'bot.db'}", hook_secrets=" ".join(f"{name}/main={TOKEN}" for name in NAMES)) as told:
        yield told


@pytest.fixture
def shown(story: Story, tmp_path: Path) -> Callable[[str], str]:
    """How a sender is set up, as it is printed for this bot."""
    terminal = Terminal(tmp_path, files_of_the_team() | {"PUBLIC_URL": story.world.bot})

    def show(name: str) -> str:
        told = terminal.here("sources", "show", name)
        assert (told.code, told.err) == (0, "")
        assert f"{story.world.bot}/hooks/{name}/main" in told.out
        assert TOKEN in told.out
        return told.out

    return show


def run(*command: object, folder: Path, **environment: str) -> str:
    """What a program says; fails with that where it ends in an error."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [str(one) for one in command], cwd=folder, env=plain | environment, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def opened(story: Story, said: str, service: str | None) -> None:
    """One incident of that service, with one alert that fires, and a page."""
    story.eventually(lambda: story.bot.store.incident(1), f"an incident after\n{said}")
    story.card_says("Paged through")
    story.comes_to_rest()
    assert len(story.bot.store.incidents()) == 1
    assert (story.incident().service, len(story.incident().firing)) == (service, 1)


def cleared(story: Story, said: str) -> None:
    """That incident's alert is over; nothing else came of it."""
    story.eventually(lambda: story.incident().is_clear, f"the alert is clear after\n{said}")
    story.comes_to_rest()
    assert len(story.bot.store.incidents()) == 1
    assert story.types_of().count("alert_started") == story.types_of().count("alert_resolved") == 1


# --- Netdata ----------------------------------------------------------------------------------


def lacks_netdata() -> str:
    """Why the agent's script cannot run here; empty where it can."""
    if not NOTIFY.exists():
        return "no alarm-notify.sh of Netdata here: `apt-get download` and `dpkg -x`, as .ci/run does"
    absent = [name for name in ("bash", "jq", "curl") if shutil.which(name) is None]
    return f"no {' and no '.join(absent)} here, which Netdata's script and our snippet need" if absent else ""


def notify(folder: Path, status: str, old_status: str, number: int) -> str:
    """Call the script as the agent's health engine does when an alarm changes."""
    told = {
        "roles": "sysadmin", "host": "db-3", "unique_id": 1700 + number, "alarm_id": 17, "event_id": number,
        "when": int(wall_clock().timestamp()), "name": "disk_space_usage", "chart": "disk_space._srv", "family": "/srv",
        "status": status, "old_status": old_status, "value": 97, "old_value": 88, "src": "10@/etc/disks.conf",
        "duration": 60, "non_clear_duration": 60, "units": "%", "info": "disk /srv space utilization", "value_string": "97%",
        "old_value_string": "88%", "calc_expression": "$used * 100 / ($avail + $used)", "calc_param_values": "[ $used = 97 ]",
        "total_warnings": 0, "total_critical": 1, "total_warn_alarms": "", "total_crit_alarms": "",
        "classification": "Utilization",
    }  # fmt: skip
    return run(
        "bash", NOTIFY, *told.values(), folder=folder,
        NETDATA_STOCK_CONFIG_DIR=str(UNPACKED / "usr" / "lib" / "netdata" / "conf.d"), NETDATA_USER_CONFIG_DIR=str(folder / "etc"),
        NETDATA_CACHE_DIR=str(folder / "cache"), NETDATA_REGISTRY_URL="http://registry.example.com", NETDATA_HOSTNAME="db-3",
    )  # fmt: skip


@pytest.mark.skipif(bool(lacks_netdata()), reason=lacks_netdata())
def test_an_alarm_of_netdata_s_own_script_opens_an_incident_and_its_end_clears_it(story, shown, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "health_alarm_notify.conf").write_text(shown("netdata"))

    opened(story, notify(tmp_path, "CRITICAL", "WARNING", 1), "db-3")
    (alert,) = story.incident().firing
    assert "disk" in alert.title
    cleared(story, notify(tmp_path, "CLEAR", "CRITICAL", 2))


# --- ElastAlert 2 -----------------------------------------------------------------------------


def lacks(module: str) -> str:
    """Why a Python package cannot be used here; empty where it can."""
    is_there = PYTHON.exists() and any(PYTHON.parents[1].glob(f"lib/python*/site-packages/{module}"))
    return "" if is_there else f"no {module} in an environment of its own here: .ci/run makes one in .cache/senders"


RULE = """\
name: {name}
type: any
index: web-*
filter:
- term: {{level: error}}
"""


@pytest.mark.skipif(bool(lacks("elastalert")), reason=lacks("elastalert"))
def test_a_match_of_elastalert_opens_an_incident_and_a_rule_that_finds_its_end_clears_it(story, shown, tmp_path):
    fires = RULE.format(name="Checkout errors") + shown("elastalert2")
    # As the snippet says of an end: another rule, the same dedup_key, and this.
    over = RULE.format(name="Checkout is well") + shown("elastalert2").replace(
        "http_post2_payload:\n", "http_post2_payload:\n  status: resolved\n"
    )
    found = {"@timestamp": "", "level": "error", "message": "upstream timed out", "service": {"name": "checkout"}}
    with Elasticsearch() as elasticsearch:
        config = {"es_host": "127.0.0.1", "es_port": elasticsearch.port, "run_every": {"minutes": 1}, "buffer_time": {"minutes": 15},
                  "writeback_index": "elastalert", "rules_folder": str(tmp_path / "rules")}  # fmt: skip
        (tmp_path / "rules").mkdir()
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        for name, rule, seen in (("fires", fires, opened), ("over", over, cleared)):
            elasticsearch.document = found | {"@timestamp": (datetime.now(UTC) - timedelta(seconds=5)).isoformat()}
            (tmp_path / f"{name}.yaml").write_text(rule)
            said = run(
                PYTHON, "-m", "elastalert.test_rule", "--config", "config.yaml", "--alert", f"{name}.yaml", folder=tmp_path,
            )  # fmt: skip
            seen(*((story, said, "checkout") if seen is opened else (story, said)))
    assert elasticsearch.asked


# --- CloudEvents ------------------------------------------------------------------------------

SENDS = """\
import json, sys, urllib.request
from datetime import datetime, timezone
from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

url, token, mode, end, service = sys.argv[1:]
event = CloudEvent(
    attributes={"id": f"{service}-{end}", "source": "/jobs/nightly", "type": f"com.example.job.{end}", "subject": service,
                "time": datetime.now(timezone.utc), "datacontenttype": "application/json"},
    data={"title": f"Export of {service} failed", "severity": "high", "service": service},
)
if mode == "batch":
    headers = {"content-type": "application/cloudevents-batch+json"}
    body = b"[" + JSONFormat().write(event) + b"]"
else:
    message = http.to_structured_event(event) if mode == "structured" else http.to_binary_event(event)
    headers, body = message.headers, message.body
request = urllib.request.Request(url, body, {**headers, "Authorization": f"Bearer {token}"}, method="POST")
print(urllib.request.urlopen(request, timeout=10).status, json.dumps(dict(headers)))
"""


@pytest.mark.skipif(bool(lacks("cloudevents")), reason=lacks("cloudevents"))
@pytest.mark.parametrize("mode", ["structured", "binary", "batch"])
def test_what_the_cloudevents_sdk_writes_opens_an_incident_and_clears_it(story, tmp_path, mode):
    (tmp_path / "send.py").write_text(SENDS)
    address = f"{story.world.bot}/hooks/cloudevents/main"

    opened(story, run(PYTHON, "send.py", address, TOKEN, mode, "firing", "checkout", folder=tmp_path), "checkout")
    cleared(story, run(PYTHON, "send.py", address, TOKEN, mode, "resolved", "checkout", folder=tmp_path))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_line_that_is_printed_for_cloudevents_sends_one(story, shown, tmp_path):
    line = shown("cloudevents")

    opened(story, run("bash", "-ec", line, folder=tmp_path), "platform")
    cleared(story, run("bash", "-ec", line.replace("job.firing", "job.resolved").replace("a-1", "a-2"), folder=tmp_path))


# --- SNS --------------------------------------------------------------------------------------

TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-throwaway.pem"
CONFIRMED = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"


class Topic:
    """Amazon's side of a topic, with a key that is thrown away: it signs as SNS does, and shows its certificate."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.asked: list[str] = []
        name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")]), wall_clock()
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key()).serial_number(5)
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        self.pem = made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def fetch(self, address: str) -> bytes:
        """What Amazon answers."""
        self.asked.append(address)
        return self.pem

    def signed(self, kind: str, message: str, version: str, **more: str) -> tuple[bytes, Mapping[str, str]]:
        """A body, and the headers that SNS sends with it."""
        fields: dict[str, Any] = {
            "Type": kind, "MessageId": f"m-{kind}-{hash(message)}", "TopicArn": TOPIC, "Message": message,
            "Timestamp": wall_clock().isoformat(), "SignatureVersion": version, "SigningCertURL": CERTIFICATE, **more,
        }  # fmt: skip
        envelope = envelope_of(json.dumps(fields).encode())
        assert envelope is not None
        digest = hashes.SHA256() if version == "2" else hashes.SHA1()
        signature = self.key.sign(envelope.signed_text(), padding.PKCS1v15(), digest)
        body = json.dumps(fields | {"Signature": base64.b64encode(signature).decode()}).encode()
        return body, {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": kind}


def alarm(state: str, before: str) -> str:
    """What CloudWatch hands to SNS."""
    return json.dumps({
        "AlarmName": "checkout-5xx", "AlarmDescription": "severity=critical service=checkout", "AWSAccountId": "123456789012",
        "NewStateValue": state, "OldStateValue": before, "NewStateReason": "Threshold Crossed", "Region": "EU (Ireland)",
        "StateChangeTime": wall_clock().strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "AlarmArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:checkout-5xx",
        "Trigger": {"MetricName": "5xx", "Namespace": "Shop", "Dimensions": []},
    })  # fmt: skip


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_a_topic_signs_subscribes_opens_an_incident_and_clears_it_and_what_was_changed_does_not(story, shown, version):
    (address,) = (one.strip("'") for one in shown("cloudwatch").split() if one.startswith("'http"))
    topic = Topic()
    assert story.bot is not None
    story.bot.sns.fetch = topic.fetch

    def sends(kind: str, message: str, **more: str) -> int:
        body, headers = topic.signed(kind, message, version, **more)
        return post(address, body, headers, 10).status

    assert sends(CONFIRMATION, "You have chosen to subscribe", SubscribeURL=CONFIRMED, Token="t") == 202
    assert topic.asked == [CERTIFICATE, CONFIRMED]
    body, headers = topic.signed(NOTIFICATION, alarm("ALARM", "OK"), version)
    assert post(address, body.replace(b"critical", b"harmless"), headers, 10).status == 401
    assert not story.bot.store.incidents()

    assert sends(NOTIFICATION, alarm("ALARM", "OK")) == 202
    opened(story, "an alarm", "checkout")
    assert sends(NOTIFICATION, alarm("OK", "ALARM")) == 202
    cleared(story, "its end")
    assert topic.asked == [CERTIFICATE, CONFIRMED]
    assert 'firstfive_deliveries_total{source="cloudwatch",status="401"} 1' in get(f"{story.world.bot}/metrics", 10).body.decode()
