"""Prometheus and Alertmanager as Debian packs them, unpacked and not installed: started here, and ended by their pids."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ports import free_port

TOP = Path(__file__).parents[2]
UNPACKED = Path(os.environ.get("FIRSTFIVE_REAL") or TOP / ".cache" / "real" / "unpacked")
"""Where Debian's packages are unpacked."""
README = TOP / "README.md"
SNIPPET = re.compile(r"For Prometheus Alertmanager:\n\n```yaml\n(.*?)```", re.DOTALL)
ADDRESS = "https://bot.example.com"
TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")
SECONDS = 30

RULES = """\
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: CheckoutErrorRateHigh
        expr: shop_errors{service="checkout"} > 0
        labels: {severity: critical}
        annotations: {summary: "Checkout fails on {{ $labels.node }}"}
      - alert: PaymentProviderErrors
        expr: shop_errors{service="payments"} > 0
        labels: {severity: critical}
        annotations: {summary: "Payments fail on {{ $labels.node }}"}
"""
PROMETHEUS = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting:
  alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]
scrape_configs:
  - job_name: shop
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{shop}"]}}]
"""


def binary(name: str) -> str | None:
    """Where a program is: in FIRSTFIVE_REAL, else in .cache/real/unpacked, or on the PATH."""
    found = UNPACKED / "usr" / "bin" / name
    if os.access(found, os.X_OK):
        return str(found.resolve())
    return shutil.which(name) or shutil.which(name.removeprefix("prometheus-"))


def missing() -> str:
    """Why these tests cannot run here; empty where they can."""
    absent = [name for name in ("prometheus", "prometheus-alertmanager") if binary(name) is None]
    if absent:
        return f"no {' and no '.join(absent)} here: `apt-get download` and `dpkg -x` as README says"
    if subprocess.run([*_in_place(), "true"], capture_output=True, timeout=10, check=False).returncode:
        return f"Debian's Alertmanager needs {TEMPLATES}, and no mount namespace can be had here to show it one"
    return ""


def _in_place() -> list[str]:
    """What makes an unpacked Alertmanager find its templates: Debian's looks for them in one place only.

    A mount namespace of its own shows it the unpacked ones there, and to nobody else. The pid stays that of the program.
    """
    program = binary("prometheus-alertmanager")
    if program is None or TEMPLATES.exists():
        return []
    share = Path(program).parents[1] / "share"
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /usr/share && exec "$@"', str(share)]


def snippet() -> str:
    """The receiver that README tells people to write, word for word."""
    found = SNIPPET.search(README.read_text(encoding="utf-8"))
    assert found is not None, "README has no receiver for Alertmanager"
    return found.group(1)


def token() -> str:
    """The token in the receiver."""
    found = re.search(r"credentials: (\S+)", snippet())
    assert found is not None
    return found.group(1)


def receiver(bot: str, intervals: Mapping[str, str]) -> str:
    """The receiver of README with the bot's address in it, and these intervals shortened. Nothing else is changed."""
    text = snippet()
    assert text.count(ADDRESS) == 1
    text = text.replace(ADDRESS, bot)
    for name, value in intervals.items():
        text, count = re.subn(rf"{name}: \S+", f"{name}: {value}", text)
        assert count == 1, name
    return text


class Shop:
    """What Prometheus watches: errors for each (service, node)."""

    def __init__(self) -> None:
        self.errors: dict[tuple[str, str], int] = {}
        shop = self

        class Metrics(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = [
                    f'shop_errors{{service="{service}",node="{node}"}} {value}' for (service, node), value in shop.errors.items()
                ]
                body = ("\n".join(lines) + "\n").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def process(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs for as long as the context lasts."""
    program = binary(name)
    assert program is not None
    with (folder / f"{name}.log").open("wb") as log:
        before = _in_place() if name == "prometheus-alertmanager" else []
        one = subprocess.Popen([*before, program, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield one
        finally:
            one.send_signal(signal.SIGTERM)
            try:
                one.wait(timeout=10)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


@contextlib.contextmanager
def watching(folder: Path, bot: str, intervals: Mapping[str, str]) -> Iterator[Shop]:
    """A shop, a Prometheus that watches it, and an Alertmanager that tells the bot."""
    shop = Shop()
    alertmanager, prometheus = free_port(), free_port()
    (folder / "alertmanager.yml").write_text(receiver(bot, intervals))
    (folder / "rules.yml").write_text(RULES)
    (folder / "prometheus.yml").write_text(PROMETHEUS.format(alertmanager=alertmanager, shop=shop.port))
    try:
        with (
            process(
                folder, "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=alerts",
                f"--web.listen-address=127.0.0.1:{alertmanager}", "--cluster.listen-address=",
            ),
            process(
                folder, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
                f"--web.listen-address=127.0.0.1:{prometheus}", "--rules.alert.resend-delay=2s",
            ),
        ):  # fmt: skip
            until(lambda: _is_ready(alertmanager) and _is_ready(prometheus), lambda: said(folder))
            yield shop
    finally:
        shop.close()


def said(folder: Path) -> str:
    """The ends of both logs."""
    return "\n".join(path.read_text(errors="replace")[-1500:] for path in sorted(folder.glob("*.log")))


def until(seen: Callable[[], Any], told: Callable[[], str], seconds: float = SECONDS) -> Any:
    """Wait until something is seen; fails with what is told instead."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = seen()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(told())


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
