"""Servers of raw bytes, for what the simulator cannot do: each connection is a thread with a socket."""

import contextlib
import json
import socket
import struct
import threading

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Generation-Id: gen-raw\r\n"
CLOSE = HEAD + b"Connection: close\r\n\r\n"


def event(text="", finish=None):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


END = event("", "stop") + b"data: [DONE]\n\n"


class RawServer:
    """Runs `serve(connection, number)` for each connection after its request was read; numbers from 1."""

    def __init__(self, serve, *, wrap=lambda connection: connection, read=True):
        self._serve = serve
        self._wrap = wrap
        self._read = read
        self._threads = []
        self.requests = []
        self.connections = 0

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=600)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._stopping = False
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, kind, error, trace):
        self._stopping = True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            pass
        self._acceptor.join()
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            if self._stopping:
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._run, args=(connection, self.connections))
            self._threads.append(thread)
            thread.start()

    def _run(self, connection, number):
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError):
            connection = self._wrap(connection)
            if self._read:
                self.requests.append(read_request(connection))
            self._serve(connection, number)


def read_request(connection):
    """Read one request, head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < size:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def answer(connection, status, body, *, headers=""):
    """Send a whole response."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def reset(connection):
    """Break a connection: the next close sends RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closed_within(connection, seconds):
    """Wait for the other side to close; tell whether it did in time."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
