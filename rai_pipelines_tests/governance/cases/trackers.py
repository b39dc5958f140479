"""Jira and ServiceNow on a real socket: as much of their published APIs as is used, and failures on purpose."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rai_pipelines_tests.governance.office import START

USER, TOKEN = "robot@example.org", "hush-hush"
FAILURES = ("hang", "429", "500", "half", "lost answer", "no json")


class Service:
    """What the two have in common: failures that are planned for the next requests, and who may come in."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.requests: list[str] = []
        self.instead: str | None = None  # what it answers to everything, with 200
        self.redirect: str | None = None  # where it sends everybody
        self.trickles = False
        self.retry_after = "30"
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> tuple[int, Any]:
        raise NotImplementedError


CATEGORY_OF = {"To Do": "new", "Doing": "indeterminate", "Done": "done"}


class Jira(Service):
    """POST /search/jql, POST /issue, GET /issue, attachments, transitions, comments."""

    def __init__(self) -> None:
        super().__init__()
        self.issues: dict[str, dict[str, Any]] = {}
        self.needs_resolution = False
        self.clock: Callable[[], datetime] = lambda: START
        self.indexed_after = timedelta()  # search does not find what is newer

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> tuple[int, Any]:
        if (method, path) == ("POST", "/rest/api/3/search/jql"):
            label = re.search(r'labels = "([^"]+)"', json.loads(body)["jql"])
            indexed = {key: issue for key, issue in self.issues.items() if self.clock() - issue["made_at"] >= self.indexed_after}
            found = [key for key, issue in indexed.items() if label and label[1] in issue["fields"]["labels"]]
            return 200, {"issues": [{"id": key, "key": key} for key in found[:1]], "isLast": True}
        if (method, path) == ("POST", "/rest/api/3/issue"):
            fields = json.loads(body)["fields"]
            described = sum(len(text["text"]) for paragraph in fields["description"]["content"] for text in paragraph["content"])
            if described > 32_767 or any(len(value) > 255 for name, value in fields.items() if name.startswith("customfield_")):
                return 400, {"errorMessages": ["The entered text is too long. It exceeds the allowed limit"], "errors": {}}
            if fields["description"]["type"] != "doc" or len(fields["summary"]) > 255 or "\n" in fields["summary"]:
                return 400, {"errorMessages": [], "errors": {"summary": "The summary is invalid"}}
            key = f"{fields['project']['key']}-{len(self.issues) + 1}"
            self.issues[key] = {"fields": fields, "status": "To Do", "attachments": [], "comments": [], "made_at": self.clock()}
            return 201, {"id": "10000", "key": key, "self": f"/rest/api/3/issue/{key}"}
        key, _, rest = path.removeprefix("/rest/api/3/issue/").partition("/")
        issue = self.issues.get(key)
        if issue is None:
            return 404, {"errorMessages": ["Issue does not exist or you do not have permission to see it."]}
        status = issue["status"]
        if (method, rest) == ("GET", ""):
            shown = {"name": status, "statusCategory": {"key": CATEGORY_OF[status]}}
            return 200, {"key": key, "fields": {"status": shown, "attachment": issue["attachments"]}}
        if (method, rest) == ("POST", "attachments"):
            if headers["X-Atlassian-Token"] != "no-check":
                return 403, {"errorMessages": ["XSRF check failed"]}
            parsed = BytesParser().parsebytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
            (part,) = parsed.get_payload()  # type: ignore[misc]
            content = part.get_payload(decode=True)  # type: ignore[union-attr]
            issue["attachments"].append({"filename": part.get_filename(), "size": len(content), "content": content.decode()})  # type: ignore[union-attr]
            return 200, issue["attachments"][-1:]
        if (method, rest) == ("GET", "transitions"):
            names = [name for name in CATEGORY_OF if name != status]
            return 200, {
                "transitions": [{"id": name, "name": name, "to": {"name": name, "statusCategory": {"key": CATEGORY_OF[name]}}} for name in names]
            }
        if (method, rest) == ("POST", "transitions") and self.needs_resolution:
            return 400, {"errorMessages": [], "errors": {"resolution": "Resolution is required."}}
        if (method, rest) == ("POST", "transitions"):
            issue["status"] = json.loads(body)["transition"]["id"]
            return 204, None
        if (method, rest) == ("POST", "comment"):
            issue["comments"].append(json.loads(body)["body"])
            return 201, {"id": "1"}
        return 404, None


class ServiceNow(Service):
    """The Table API of incident, and attachments."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}
        self.attachments: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> tuple[int, Any]:
        conditions = dict(part.split("=", 1) for part in query.get("sysparm_query", "").split("^") if "=" in part)
        if (method, path) == ("GET", "/api/now/table/incident"):
            found = [record for record in self.records.values() if record["correlation_id"] == conditions["correlation_id"]]
            return 200, {"result": [{"sys_id": record["sys_id"]} for record in found[:1]]}
        if (method, path) == ("POST", "/api/now/table/incident"):
            sys_id = f"{len(self.records) + 1:032x}"
            self.records[sys_id] = {**json.loads(body), "sys_id": sys_id, "number": f"INC{len(self.records):07}", "state": "1"}
            return 201, {"result": self.records[sys_id]}
        if (method, path) == ("GET", "/api/now/attachment"):
            named = [
                item
                for item in self.attachments
                if (item["table_sys_id"], item["file_name"]) == (conditions["table_sys_id"], conditions["file_name"])
            ]
            return 200, {"result": named}
        if (method, path) == ("POST", "/api/now/attachment/file"):
            self.attachments.append({**query, "size_bytes": str(len(body)), "content": body.decode()})
            return 201, {"result": {"sys_id": "a"}}
        record = self.records.get(path.removeprefix("/api/now/table/incident/"))
        if record is None:
            return 404, {"error": {"message": "No Record found", "detail": "Record doesn't exist or ACL restricts the record retrieval"}}
        if method == "PATCH":
            changes = json.loads(body)
            if changes.get("state") in ("6", "7") and not changes.get("close_notes"):
                return 403, {"error": {"message": "Operation Failed", "detail": "Data Policy Exception: close_notes is mandatory"}}
            record.update(changes)
        return 200, {"result": record}


@contextmanager
def served(service: Service) -> Iterator[str]:
    """The service on a port of this machine."""
    wanted = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with service.lock:
                service.requests.append(f"{self.command} {parts.path}")
                failure = service.failures.pop(0) if service.failures else None
            if failure == "hang":
                time.sleep(1.5)
            if service.redirect is not None:
                return self._send(307, None, {"Location": service.redirect + self.path})
            if service.instead is not None:
                return self._send(200, service.instead, {})
            if service.trickles:
                return self._trickle()
            with service.lock:
                if failure in ("hang", "429", "500"):
                    status = 503 if failure == "hang" else int(failure)
                    return self._send(status, {"errorMessages": ["not now"]}, {"Retry-After": service.retry_after} if failure == "429" else {})
                if failure == "echo":
                    return self._send(400, f"bad request: Authorization: {self.headers['Authorization']}; {TOKEN}", {})
                if self.headers.get("Authorization") != wanted:
                    return self._send(401, {"errorMessages": ["Client must be authenticated to access this resource."]}, {})
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                status, content = service.answer(self.command, parts.path, query, body, self.headers)
                if failure == "lost answer":  # it was done, and nobody hears of it
                    self.close_connection = True
                    self.connection.close()
                    return None
                if failure == "no json":
                    return self._send(status, "<html>maintenance</html>", {})
                return self._send(status, content, {}, cut=failure == "half")

        def _send(self, status: int, content: Any, headers: dict[str, str], *, cut: bool = False) -> None:
            text = b"" if content is None else (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text[: len(text) // 2] if cut else text)
            if cut:
                self.close_connection = True

        def _trickle(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(20):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.2)
            self.close_connection = True

        do_GET = do_POST = do_PATCH = _handle

        def log_message(self, *_: Any) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
