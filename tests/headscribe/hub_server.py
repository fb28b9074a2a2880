"""A hub of one process: the endpoints that huggingface_hub calls to make a repository, commit files and read them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


class Hub:
    """What it was asked, and what it holds: repository -> file -> content."""

    def __init__(self, address):
        self.address = address
        self.repositories = {}
        self.requests = []
        self.tokens = set()


@contextmanager
def serving():
    """A hub on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            body = self.body()
            hub.requests.append(("POST", self.path))
            hub.tokens.add(self.headers.get("Authorization"))
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                hub.repositories.setdefault(name, {})
                self.answer(200, {"url": f"{hub.address}/{name}", "id": name})
            elif self.path == "/api/validate-yaml":
                self.answer(200, {"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in json.loads(body)["files"]
                ]
                self.answer(200, {"files": files})
            elif "/commit/" in self.path:
                name = self.path.removeprefix("/api/models/").split("/commit/")[0]
                held = hub.repositories[name]
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        held[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self.answer(
                    200,
                    {
                        "success": True,
                        "commitOid": COMMIT,
                        "commitUrl": f"{hub.address}/{name}/commit/{COMMIT}",
                        "hookOutput": "",
                    },
                )
            else:
                self.answer(404, {"error": "unknown"})

        def do_GET(self):
            self.read()

        def do_HEAD(self):
            self.read()

        def read(self):
            hub.requests.append((self.command, self.path))
            name, _, rest = self.path.lstrip("/").partition("/resolve/")
            if not rest:
                return self.answer(404, {"error": "unknown"}, {"X-Error-Code": "RepoNotFound"})
            if name not in hub.repositories:
                return self.answer(404, {"error": "no repository"}, {"X-Error-Code": "RepoNotFound"})
            content = hub.repositories[name].get(rest.partition("/")[2])
            if content is None:
                return self.answer(
                    404, {"error": "no file"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
                )
            etag = hashlib.sha256(content).hexdigest()
            return self.answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

        def body(self):
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def answer(self, status, content, headers=()):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in {
                "Content-Length": str(len(body)),
                "Content-Type": "application/json",
                **dict(headers),
            }.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
