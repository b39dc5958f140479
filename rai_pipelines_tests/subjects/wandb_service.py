"""Weights & Biases on a real socket: as much of its GraphQL API as the `wandb` package sends for artifacts, and failures."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

KEY = "0123456789abcdef0123456789abcdef01234567"
ORGANISATION, ORG_ENTITY, TEAM = "acme", "acme_org", "lending"
REGISTRY, PROJECT = "wandb-registry-models", "scoring"
FEATURES = ("ARTIFACT_REGISTRY_SEARCH", "ARTIFACT_COLLECTIONS_FILTERING_SORTING")
HANG_S = 15  # longer than the adapter waits


@dataclass
class Artifact:
    """One version as it was logged."""

    id: str
    collection: str
    index: int
    created_at: str
    files: dict[str, bytes]
    type: str = "model"
    user: str | None = "submitter"
    metadata: dict[str, Any] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)


@dataclass
class Membership:
    """A version in a collection: the one that it was logged to, or one that it is linked into."""

    project: str
    collection: str
    index: int
    created_at: str
    artifact: Artifact
    aliases: set[str] = field(default_factory=set)


class Wandb:
    """The service's memory. `failures` are planned for the next requests, one each, or with `down` for all."""

    def __init__(self) -> None:
        self.members: list[Membership] = []
        self.failures: list[str] = []
        self.down: str | None = None
        self.cut_files = False
        self.advanced_search = True
        self.read_only = False
        self.requests: list[str] = []
        self.base = ""
        self.lock = threading.RLock()

    def log(self, collection: str, created_at: str, files: dict[str, bytes] | None = None, **fields: Any) -> Artifact:
        index = sum(member.project == PROJECT and member.collection == collection for member in self.members)
        number = len({member.artifact.id for member in self.members})
        chosen = {"model.bin": b"\x00\x01"} if files is None else files
        made = Artifact(base64.b64encode(f"Artifact:{number}".encode()).decode(), collection, index, created_at, chosen, **fields)
        self.members.append(Membership(PROJECT, collection, index, created_at, made, {"latest"}))
        return made

    def link(self, artifact: Artifact, collection: str, linked_at: str) -> Membership:
        index = sum(member.project == REGISTRY and member.collection == collection for member in self.members)
        made = Membership(REGISTRY, collection, index, linked_at, artifact)
        self.members.append(made)
        return made

    def answer(self, operation: str, asked: dict[str, Any]) -> Any:
        """The `data` of one GraphQL operation, or an error text."""
        made = getattr(self, f"_{operation}", None)
        return f"the fake knows no operation {operation}" if made is None else made(asked)

    def file(self, path: str) -> bytes | None:
        kind, _, rest = path.removeprefix("/files/").partition("/")
        for artifact in {member.artifact.id: member.artifact for member in self.members}.values():
            mine = base64.urlsafe_b64encode(artifact.id.encode()).decode()
            if kind == "manifest" and rest == mine:
                return json.dumps(_manifest(artifact)).encode()
            if kind == "content" and rest.startswith(f"{mine}/"):
                return artifact.files.get(unquote(rest.partition("/")[2]))
        return None

    def _Viewer(self, _: Any) -> Any:
        return {"viewer": {"id": "VXNlcjox", "flags": "{}", "entity": TEAM, "username": "robot", "email": "robot@example.org", "admin": False,
                           "deletedAt": None, "apiKeys": {"edges": []}, "teams": {"edges": []}, "name": "robot"}}  # fmt: skip

    def _GetDefaultEntity(self, _: Any) -> Any:
        return {"viewer": {"id": "VXNlcjox", "entity": TEAM}}

    def _ServerFeaturesQuery(self, _: Any) -> Any:
        return {"serverInfo": {"features": [{"name": name, "isEnabled": True} for name in FEATURES]}}

    def _FetchAdvancedRegistryFeatures(self, _: Any) -> Any:
        return {"organization": {"advancedRegistryFeatures": {"advancedSearch": self.advanced_search}}}

    def _RegistryVersions(self, asked: Any) -> Any:
        if asked["organization"] != ORGANISATION:
            return {"organization": None}
        wanted, named = _filter(asked, "registryFilter"), _filter(asked, "collectionFilter")
        found = [member for member in self.members if wanted in (None, member.project) and named in (None, member.collection)]
        found = [member for member in found if member.project == REGISTRY]
        order = asked.get("order")
        if order:
            assert order.lstrip("+-") == "acm_created_at", order  # what the package makes of linked_at
            found.sort(key=lambda member: member.created_at, reverse=order.startswith("-"))
        return {"organization": {"orgEntity": {"name": ORG_ENTITY, "artifactMemberships": self._page(found, asked, self._membership)}}}

    def _FetchRegistries(self, asked: Any) -> Any:
        entity = {"name": ORG_ENTITY, "organization": {"name": ORGANISATION}}
        node = {**_project(REGISTRY), "entity": entity, "description": None, "createdAt": "2026-11-01T00:00:00Z", "updatedAt": None,
                "access": "PUBLIC", "allowAllArtifactTypes": True, "artifactTypes": {"edges": []}}  # fmt: skip
        found = [node] if _filter(asked, "filters") in (None, REGISTRY) else []
        return {"organization": {"orgEntity": {"projects": self._page(found, asked, lambda one: {"node": one})}}}

    def _ArtifactTypeArtifactCollections(self, asked: Any) -> Any:
        if (asked["entity"], asked["project"]) != (TEAM, PROJECT):
            return {"project": None}
        names = sorted({member.collection for member in self.members if member.project == PROJECT and member.artifact.type == asked["type"]})
        return {
            "project": {"artifactType": {"artifactCollections": self._page(names, asked, lambda name: {"node": self._collection(PROJECT, name)})}}
        }

    def _ProjectArtifacts(self, asked: Any) -> Any:
        found = [m for m in self.members if (m.project, m.collection, m.artifact.type) == (asked["project"], asked["collection"], asked["type"])]
        page = self._page(found, asked, lambda m: {"version": f"v{m.index}", "node": self._artifact(m.artifact)})
        return {"project": {"artifactType": {"artifactCollection": {"__typename": "ArtifactSequence", "artifacts": page}}}}

    def _ArtifactCreatedBy(self, asked: Any) -> Any:
        artifact = self._by_id(asked["id"])
        run = {"__typename": "Run", "id": "UnVuOjE=", "name": "run1", "project": _project(PROJECT)}
        return {"artifact": {"createdBy": None if artifact.user is None else {**run, "name": f"run-of-{artifact.user}"}}}

    def _Run(self, asked: Any) -> Any:
        user = asked["name"].removeprefix("run-of-")
        named = {"id": "UnVuOjE=", "name": asked["name"], "displayName": "run", "tags": [], "state": "finished", "sweepName": None, "group": None,
                 "jobType": None, "commit": None, "readOnly": False, "createdAt": "2026-11-01T00:00:00", "heartbeatAt": None, "description": None,
                 "notes": None, "historyLineCount": 0, "historyKeys": None, "config": "{}", "summaryMetrics": "{}", "systemMetrics": "{}",
                 "projectId": "1", "internalId": "1", "user": {"name": user, "username": user}}  # fmt: skip
        return {"project": {"internalId": "1", "run": None if user == "gone" else named}}

    def _IsProjectReadOnly(self, _: Any) -> Any:
        return {"project": {"readOnly": self.read_only}}

    def _UpdateArtifact(self, asked: Any) -> Any:
        artifact = self._by_id(asked["input"]["artifactID"])
        artifact.metadata = json.loads(asked["input"]["metadata"])
        return {"result": {"artifact": self._artifact(artifact)}}

    def _AddAliases(self, asked: Any) -> Any:
        for alias in asked["input"]["aliases"]:
            for member in self.members:
                if (member.project, member.collection) == (alias["projectName"], alias["artifactCollectionName"]):
                    member.aliases.discard(alias["alias"])
                    if member.artifact.id == asked["input"]["artifactID"]:
                        member.aliases.add(alias["alias"])
        return {"result": {"success": True}}

    def _DeleteAliases(self, asked: Any) -> Any:
        for alias in asked["input"]["aliases"]:
            for member in self.members:
                mine = member.artifact.id == asked["input"]["artifactID"] and member.collection == alias["artifactCollectionName"]
                if mine and member.project == alias["projectName"]:
                    member.aliases.discard(alias["alias"])
        return {"result": {"success": True}}

    def _FetchArtifactManifest(self, asked: Any) -> Any:
        url = f"{self.base}/files/manifest/{base64.urlsafe_b64encode(asked['id'].encode()).decode()}"
        return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}

    def _GetArtifactMembershipFileUrls(self, asked: Any) -> Any:
        member = next(m for m in self.members if (m.project, m.collection, f"v{m.index}") == (asked["project"], asked["collection"], asked["alias"]))
        start = f"{self.base}/files/content/{base64.urlsafe_b64encode(member.artifact.id.encode()).decode()}"
        page = self._page(
            sorted(member.artifact.files), asked, lambda name: {"node": {"__typename": "File", "name": name, "directUrl": f"{start}/{name}"}}
        )
        kind = "ArtifactPortfolio" if member.project == REGISTRY else "ArtifactSequence"
        return {"project": {"artifactCollection": {"__typename": kind, "artifactMembership": {"files": page}}}}

    def _page(self, items: list[Any], asked: Any, edge: Any) -> dict[str, Any]:
        start, size = int(asked.get("cursor") or 0), min(int(asked.get("perPage") or 50), 3)  # small pages, whatever is asked
        end = start + size
        return {
            "totalCount": len(items),
            "pageInfo": {"__typename": "PageInfo", "endCursor": str(end), "hasNextPage": end < len(items)},
            "edges": [{"cursor": str(start), **edge(item)} for item in items[start:end]],
        }

    def _by_id(self, wanted: str) -> Artifact:
        return next(member.artifact for member in self.members if member.artifact.id == wanted)

    def _membership(self, member: Membership) -> dict[str, Any]:
        node = {
            "__typename": "ArtifactCollectionMembership",
            "id": f"M{member.project}{member.collection}{member.index}",
            "versionIndex": member.index,
            "createdAt": member.created_at,
            "aliases": [_alias(alias) for alias in sorted({*member.aliases, f"v{member.index}"})],
            "artifactCollection": {"__typename": "ArtifactPortfolio", "name": member.collection, "project": _project(member.project)},
            "artifact": self._artifact(member.artifact),
        }
        return {"node": node}

    def _collection(self, project: str, name: str) -> dict[str, Any]:
        kind = next(member.artifact.type for member in self.members if (member.project, member.collection) == (project, name))
        return {"__typename": "ArtifactSequence", "id": f"C{name}", "name": name, "description": None, "createdAt": "2026-11-01T00:00:00Z",
                "updatedAt": None, "project": _project(project), "type": {"name": kind}, "tags": {"edges": []}}  # fmt: skip

    def _artifact(self, artifact: Artifact) -> dict[str, Any]:
        aliases = [
            {
                **_alias(alias),
                "artifactCollection": {"__typename": "ArtifactSequence", "name": member.collection, "project": _project(member.project)},
            }
            for member in self.members
            if member.artifact is artifact
            for alias in sorted({*member.aliases, f"v{member.index}"})
        ]
        return {
            "__typename": "Artifact", "id": artifact.id, "versionIndex": artifact.index, "artifactType": {"name": artifact.type}, "description": None,
            "artifactSequence": {"__typename": "ArtifactSequence", "name": artifact.collection, "project": _project(PROJECT)},
            "metadata": json.dumps(artifact.metadata), "ttlDurationSeconds": -2, "ttlIsInherited": False, "tags": [], "historyStep": None,
            "state": "COMMITTED", "size": sum(map(len, artifact.files.values())), "digest": "d", "digestAlgorithm": "MANIFEST_MD5", "commitHash": "c",
            "fileCount": len(artifact.files), "createdAt": artifact.created_at, "updatedAt": None, "aliases": aliases,
        }  # fmt: skip


def _alias(name: str) -> dict[str, Any]:
    return {"__typename": "ArtifactAlias", "id": f"A{name}", "alias": name}


def _project(name: str) -> dict[str, Any]:
    entity = ORG_ENTITY if name == REGISTRY else TEAM
    return {
        "__typename": "Project",
        "id": f"P{name}",
        "internalId": base64.b64encode(b"Project:1").decode(),
        "name": name,
        "entity": {"name": entity},
    }


def _filter(asked: dict[str, Any], which: str) -> str | None:
    """The name that a filter asks for."""
    content = json.loads(asked.get(which) or "null") or {}
    assert set(content) <= {"name"}, content
    name: str | None = content.get("name")
    return name


def _manifest(artifact: Artifact) -> dict[str, Any]:
    contents: dict[str, Any] = {
        name: {"digest": base64.b64encode(hashlib.md5(content).digest()).decode(), "size": len(content), "birthArtifactID": artifact.id}
        for name, content in artifact.files.items()
    }
    contents |= {name: {"digest": "etag", "size": 1, "ref": where} for name, where in artifact.references.items()}
    return {"version": 1, "storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {"storageLayout": "V2"}, "contents": contents}


@contextmanager
def running(service: Wandb) -> Iterator[str]:
    """The service on a port of this machine; its address."""
    wanted = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            named = re.search(r"(?:query|mutation)\s+(\w+)", content.get("query", ""))
            operation = named[1] if named else "unnamed"
            with service.lock:
                service.requests.append(operation)
                failure = service.down or (service.failures.pop(0) if service.failures else None)
            if failure == "hang":
                time.sleep(HANG_S)
            if failure in ("hang", "429", "500"):
                return self._send(503 if failure == "hang" else int(failure), b'{"errors": [{"message": "not now"}]}')
            if self.headers.get("Authorization") != wanted:
                return self._send(401, b'{"errors": [{"message": "user is not logged in"}]}')
            with service.lock:
                found = service.answer(operation, content.get("variables") or {})
            if failure == "no json":
                return self._send(200, b"<html>maintenance</html>")
            if failure == "null":  # what W&B answers to who may not see it
                return self._send(200, b'{"data": {"project": null, "organization": null}}')
            said = {"errors": [{"message": found}]} if isinstance(found, str) else {"data": found}
            return self._send(200, json.dumps(said).encode(), cut=failure == "half")

        def do_GET(self) -> None:
            with service.lock:
                found = service.file(urlsplit(self.path).path)
            if found is None:
                return self._send(404, b"")
            return self._send(200, found, cut=service.cut_files and "/content/" in self.path)

        def _send(self, status: int, text: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) // 2] if cut else text)
            self.close_connection = cut

        def log_message(self, *_: Any) -> None:
            """Not on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service.base = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service.base
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
