"""A mail server and a webhook on real sockets, which keep what they are sent and refuse when told to."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What arrived; `refuse` so many of the next."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.refuse = 0

    def takes(self, content: Any) -> bool:
        if self.refuse:
            self.refuse -= 1
            return False
        self.got.append(content)
        return True


@contextmanager
def mail_server(receiver: Receiver) -> Iterator[str]:
    """As much of RFC 5321 as a client needs to hand in a mail."""

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 ready")
            while line := self.rfile.readline().decode().strip():
                verb = line.split(" ", 1)[0].upper()
                if verb == "DATA":
                    self._say("354 go on")
                    parts = []
                    while (part := self.rfile.readline().decode()) != ".\r\n":
                        parts.append(part)
                    self._say("250 taken" if receiver.takes("".join(parts)) else "451 try later")
                elif verb == "QUIT":
                    return self._say("221 bye")
                else:
                    self._say("250 ok")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)) as port:
        yield f"smtp://127.0.0.1:{port}"


@contextmanager
def webhook(receiver: Receiver) -> Iterator[str]:
    """What takes Slack's form."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if receiver.takes(content) else 500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not on the terminal."""

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/services/T/B/secret"


@contextmanager
def _running(server: Any) -> Iterator[int]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
