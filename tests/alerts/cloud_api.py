"""A server that speaks the Cloud API's wire, on a thread: it keeps what it was sent, and is told what to answer.

Source: Meta's documentation, WhatsApp Business Platform, messages and error codes.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PHONE_NUMBER_ID = "106540352242922"


@dataclass
class Answer:
    """A status, and the code of Meta's error body. `held` keeps it back until it is set; `asked` is set before."""

    status: int
    code: int | None = None
    message: str = "(#100) Invalid parameter"
    headers: dict[str, str] = field(default_factory=dict)
    held: threading.Event | None = None
    asked: threading.Event = field(default_factory=threading.Event)

    def body(self, number: str) -> dict[str, Any]:
        if self.status == 200:
            return {
                "messaging_product": "whatsapp",
                "contacts": [{"input": number, "wa_id": number}],
                "messages": [{"id": f"wamid.{number}", "message_status": "accepted"}],
            }
        data = {"messaging_product": "whatsapp", "details": f"Something about {number}"}
        error = {"message": self.message, "type": "OAuthException", "code": self.code, "error_data": data}
        return {"error": error | {"fbtrace_id": "Az8or2yhqkZfEZ-_4Qn_Bam"}}


class CloudApi:
    """What was posted, and the next answers by number; 200 where none is told."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.next: dict[str, list[Answer]] = defaultdict(list)
        self.port = 0

    def forget(self) -> None:
        """Begin anew, for the next test."""
        self.posted.clear()
        self.headers.clear()
        self.paths.clear()
        self.next.clear()

    def texts(self, number: str) -> list[list[str]]:
        """The variables of each message to a number."""
        messages = [one for one in self.posted if one["to"] == number]
        return [[one["text"] for one in message["template"]["components"][0]["parameters"]] for message in messages]


@contextmanager
def cloud_api() -> Iterator[CloudApi]:
    """Serve on a free port of the loopback until the block ends."""
    api = CloudApi()

    class Graph(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.posted.append(sent)
            api.headers.append(dict(self.headers))
            api.paths.append(self.path)
            answers = api.next[sent["to"]]
            answer = answers.pop(0) if answers else Answer(200)
            answer.asked.set()
            if answer.held is not None:
                answer.held.wait(10)
            body = json.dumps(answer.body(sent["to"])).encode()
            try:
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Graph)
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
