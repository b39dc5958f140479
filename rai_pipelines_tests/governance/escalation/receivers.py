"""A mail server and a webhook on real sockets, which keep what they are sent and refuse when told to."""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What arrived; `refuse` so many of the next."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.refuse = 0
        self.logins: list[tuple[str, bool]] = []  # (what was shown, whether under TLS)
        self.chatter = b""  # what follows an answer

    def takes(self, content: Any) -> bool:
        if self.refuse:
            self.refuse -= 1
            return False
        self.got.append(content)
        return True


@contextmanager
def mail_server(receiver: Receiver, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """As much of RFC 5321, 3207 and 4954 as a client needs to log in and to hand in a mail."""

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            secure = False
            self._say("220 ready")
            while line := self.rfile.readline().decode().strip():
                verb = line.split(" ", 1)[0].upper()
                if verb == "EHLO":
                    self._say("250-here\r\n" + ("250-STARTTLS\r\n" if tls and not secure else "") + "250 AUTH PLAIN")
                elif verb == "STARTTLS" and tls is not None:
                    self._say("220 go on")
                    try:
                        self.connection = tls.wrap_socket(self.request, server_side=True)
                    except OSError:
                        return  # the client does not believe the certificate
                    self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                    secure = True
                elif verb == "AUTH":
                    receiver.logins.append((base64.b64decode(line.split()[-1]).decode().strip("\0"), secure))
                    self._say("235 welcome")
                elif verb == "DATA":
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

    with _running(socketserver.ThreadingTCPServer((host, 0), Session)) as port:
        yield f"smtp://{host}:{port}"


@contextmanager
def webhook(receiver: Receiver) -> Iterator[str]:
    """What takes Slack's form."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if receiver.takes(content) else 500)
            self.end_headers()
            for _ in range(100) if receiver.chatter else ():
                self.wfile.write(receiver.chatter)
                time.sleep(0.1)

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
