"""A webhook receiver for Alertmanager: a POST stores its alerts, a GET returns all stored alerts."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

alerts: list[object] = []


class Receiver(BaseHTTPRequestHandler):
    """Store the alerts of each POST; return all of them on GET."""

    def do_POST(self) -> None:
        """Store the alerts of a notification."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        alerts.extend(message["alerts"])
        self._answer(b"")

    def do_GET(self) -> None:
        """Return all stored alerts."""
        self._answer(json.dumps(alerts).encode())

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
