"""A client with little overhead: plain sockets, with one request at a time on each."""

import selectors
import socket
import time
from dataclasses import dataclass, field

END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Load:
    """The result of a load.

    Attributes:
        seconds: the duration.
        statuses: the number of responses by status.
        latencies: the latency of each response, in seconds.
    """

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return sum(self.statuses.values()) / self.seconds


def request(path: str, body: bytes, headers: dict[str, str], method: str = "POST") -> bytes:
    """Return the bytes of an HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.began = 0.0

    def send(self, message: bytes) -> None:
        self.began = time.perf_counter()
        self.socket.sendall(message)

    def status(self) -> int | None:
        """Read available bytes; return the status once a response is complete."""
        part = self.socket.recv(1 << 20)
        if not part:
            raise SystemExit("the server closed a connection during the measurement")
        self.received += part
        end = self.received.find(END_OF_HEAD)
        if end < 0:
            return None
        head = bytes(self.received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self.received) < end + len(END_OF_HEAD) + length:
            return None
        self.received.clear()
        return int(head[9:12])


def load(port: int, messages: list[bytes], connections: int, *, seconds: float = 0.0, count: int = 0) -> Load:
    """Send requests one after another on each connection, for some seconds or until a number of responses.

    Args:
        port: the server's port on loopback.
        messages: the requests, sent in rotation.
        connections: the number of concurrent requests.
        seconds: the duration; 0 for no time limit.
        count: the number of requests; 0 for no limit.
    """
    result = Load()
    sent = 0
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(port) for _ in range(connections)]
        began = time.perf_counter()
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(messages[sent % len(messages)])
            sent += 1
        open_requests = len(opened)
        while open_requests:
            for key, _ in selector.select():
                connection = key.data
                status = connection.status()
                if status is None:
                    continue
                now = time.perf_counter()
                result.statuses[status] = result.statuses.get(status, 0) + 1
                result.latencies.append(now - connection.began)
                if (seconds and now - began > seconds) or (count and sent >= count):
                    open_requests -= 1
                    selector.unregister(connection.socket)
                    connection.socket.close()
                else:
                    connection.send(messages[sent % len(messages)])
                    sent += 1
        result.seconds = time.perf_counter() - began
    return result
