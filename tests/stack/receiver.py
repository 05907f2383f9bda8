"""Takes what Alertmanager sends to a webhook, and tells it: a GET returns all of it."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

alerts: list[object] = []


class Receiver(BaseHTTPRequestHandler):
    """A POST is kept; a GET returns the list of what was kept."""

    def do_POST(self) -> None:
        """Keep the alerts of a message."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        alerts.extend(message["alerts"])
        self._answer(b"")

    def do_GET(self) -> None:
        """Return every alert so far."""
        self._answer(json.dumps(alerts).encode())

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
