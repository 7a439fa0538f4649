"""Servers on loopback that answer as a test says, in order to fail as real ones do."""

import contextlib
import dataclasses
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

HTML = '<!DOCTYPE html><html><body>You are blocked</body></html>'


@dataclasses.dataclass
class Reply:
    """An answer; `cut` drops that many bytes of the body, `late` seconds go by first.

    `value` is sent as JSON unless it is text. With `short`, Content-Length counts what
    is sent; without, what should have been, as when a connection breaks.
    """

    value: Any = None
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    cut: int = 0
    short: bool = True
    late: float = 0.0


Answer = Callable[[str, dict[str, str]], Reply]


@contextlib.contextmanager
def serve(answer: Answer) -> Iterator[str]:
    """The base URL of a server; `answer` gets the path and the query of each request.

    A POST's form is in the query.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            length = int(self.headers.get('Content-Length', 0))
            form = self.rfile.read(length).decode()
            query = '&'.join(filter(None, (url.query, form)))
            self._reply(answer(url.path, dict(urllib.parse.parse_qsl(query))))

        do_POST = do_GET

        def _reply(self, reply: Reply) -> None:
            time.sleep(reply.late)
            text = reply.value if isinstance(reply.value, str) else None
            body = (json.dumps(reply.value) if text is None else text).encode()
            sent = body[: len(body) - reply.cut]
            with contextlib.suppress(OSError):  # the other end may be gone
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                length = len(sent) if reply.short else len(body)
                self.send_header('Content-Length', str(length))
                self.end_headers()
                self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Script:
    """Replies given one after the other, the last one for good; requests are kept."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.requests: list[tuple[str, dict[str, str]]] = []

    def __call__(self, path: str, query: dict[str, str]) -> Reply:
        self.requests.append((path, query))
        return self._replies[min(len(self.requests), len(self._replies)) - 1]
