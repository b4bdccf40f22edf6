"""As much of an Elasticsearch as a rule of ElastAlert asks: which version it is, what it finds, how much of it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

VERSION = {"name": "stand-in", "cluster_name": "stand-in", "version": {"number": "7.17.9", "build_flavor": "default"}}


class Elasticsearch:
    """One document, found by whatever is asked."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.asked: list[str] = []
        elasticsearch = self

        class Asked(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                elasticsearch.asked.append(f"{self.command} {self.path}")
                body = json.dumps(elasticsearch.answer_to(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_HEAD = answer

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def answer_to(self, path: str) -> dict[str, Any]:
        """What it says."""
        if "_count" in path:
            return {"count": 1, "_shards": {"total": 1, "successful": 1, "failed": 0}}
        if "_search" in path:
            hit = {"_index": "web-1", "_type": "_doc", "_id": "1", "_source": self.document}
            return {
                "took": 1, "timed_out": False, "_shards": {"total": 1, "successful": 1, "failed": 0},
                "hits": {"total": {"value": 1, "relation": "eq"}, "hits": [hit]},
            }  # fmt: skip
        return VERSION

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
