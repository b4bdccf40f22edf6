"""A sign to somebody outside that all is well: where it stays away, they know, even when nothing here runs any more."""

from http.client import HTTPException
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from pydantic import SecretStr

TIMEOUT_SECONDS = 10


class Heartbeat:
    """Asks for a URL, as services that watch for silence want it. Nothing is followed, and nothing is read of the answer."""

    def __init__(self, url: SecretStr) -> None:
        self._url = url.get_secret_value()
        self._opener = OpenerDirector()
        for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
            self._opener.add_handler(handler)

    def send(self) -> str:
        """Send one; why it was not taken, and empty where it was. The address is a secret, and in no answer."""
        request = Request(self._url, headers={"User-Agent": "firstfive"})
        try:
            answer = self._opener.open(request, timeout=TIMEOUT_SECONDS)
        except (OSError, HTTPException, ValueError) as error:
            return f"the heartbeat was not taken: {type(error).__name__}"
        if answer is None:
            return "the heartbeat was not taken: its address is neither http nor https"
        with answer:
            return "" if 200 <= answer.status < 300 else f"the heartbeat was not taken: the answer was {answer.status}"
