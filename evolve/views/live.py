"""A live page of runs, served to this machine alone: it reads what is there and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from evolve.results.listing import list_runs, run_dirs
from evolve.results.status import read_status
from evolve.views.page import inert_json, page
from evolve.views.report import render_report
from fitness.errors import UserError

ADDRESS = "127.0.0.1"


def make_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder's runs on 127.0.0.1, not yet serving; port 0 takes a free one.

    `/` is the page, `/runs.json` what it asks for every two seconds, `/run/NAME` a run's report as of now.

    Raises:
        UserError: where there is no such folder, or the port is taken.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name one that holds run directories")

    def pages(path: str) -> tuple[str, str] | None:
        if path == "/":
            return "text/html", live_page()
        if path == "/runs.json":
            return "application/json", str(inert_json(list_runs(folder)))
        run = run_dirs(folder).get(unquote(path.removeprefix("/run/"))) if path.startswith("/run/") else None
        if run is None:
            return None
        config, store = run.load_config(), run.open_store()
        try:
            return "text/html", render_report(run, store, config, read_status(run))
        finally:
            store.close()

    try:
        return ThreadingHTTPServer((ADDRESS, port), _handler(pages))
    except OSError as error:
        raise UserError(f"--port {port}: {error.strerror}; choose another") from None


def live_page() -> str:
    """The page that lists the runs."""
    return page("view.html", title="runs", scripts=("view",), also="; connect-src 'self'")


def _handler(pages: Callable[[str], tuple[str, str] | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page of the web that has its name point here would otherwise read the runs.
            host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
            if host not in (ADDRESS, "localhost"):
                self.send_error(403, "served to this machine alone")
                return
            try:
                page = pages(urlsplit(self.path).path)
            except UserError as error:
                page = "text/plain", str(error)
            if page is None:
                self.send_error(404)
                return
            kind, text = page
            body = text.encode()
            self.send_response(200)
            for name, value in (
                ("Content-Type", f"{kind}; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: a request every two seconds is not news."""

    return Handler
