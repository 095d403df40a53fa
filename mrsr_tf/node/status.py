"""The status page: how many studies are where, and what became of the last; nobody's names."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jinja2

from mrsr_tf import __version__
from mrsr_tf.node.incoming import Incoming
from mrsr_tf.node.settings import Settings
from mrsr_tf.node.spool import STATE, Spool, newest, read_json

TEMPLATE = "status.html.jinja"
SHOWN = 50
TIMEOUT_S = 10
PAGES = {"/": "text/html; charset=utf-8", "/status.json": "application/json"}
SAFETY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@contextmanager
def showing(settings: Settings, spool: Spool, incoming: Incoming) -> Iterator[int]:
    """Shows the state while the block runs; yields the port. `OSError` where that is taken."""
    server = ThreadingHTTPServer(settings.status, _handler(settings, spool, incoming))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def status(settings: Settings, spool: Spool, incoming: Incoming) -> dict[str, Any]:
    """The node's state, as plain JSON values."""
    failed, done = newest(spool.failed), newest(spool.done)
    return {
        "version": __version__,
        "title": settings.title,
        "worker": read_json(spool.root / STATE).get("state", "starting"),
        "counts": {
            "receiving": len(incoming),
            "waiting": len(list(spool.queue.iterdir())),
            "sending": len(list(spool.outbox.iterdir())),
            "failed": len(failed),
            "done": len(done),
        },
        "used_bytes": spool.used_bytes(),
        "queue_bytes": settings.queue_bytes,
        "failed": [{"study": study.name, **spool.facts(study)} for study in failed[:SHOWN]],
        "done": [read_json(outcome) for outcome in done[:SHOWN]],
    }


def page(facts: dict[str, Any]) -> str:
    """The state as HTML; every word in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True
    )
    environment.filters["clock"] = lambda seconds: datetime.fromtimestamp(seconds or 0).strftime(
        "%Y-%m-%d %H:%M:%S"
    )
    return environment.get_template(TEMPLATE).render(facts)


def _handler(settings: Settings, spool: Spool, incoming: Incoming) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S
        server_version, sys_version = "MRSR-TF", ""

        def do_GET(self) -> None:
            if self.path not in PAGES:
                self.send_error(404)
                return
            facts = status(settings, spool, incoming)
            text = page(facts) if self.path == "/" else json.dumps(facts)
            self.send_response(200)
            for name, value in {"Content-Type": PAGES[self.path], **SAFETY}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: who looks at the page is no event."""

    return Handler
