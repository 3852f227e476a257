"""A web server on this machine with one file, for tests of downloads."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Sends one file at any address, at most `server.cut` bytes of it, as a connection that breaks does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, start = self.server, 0
        server.paths.append(self.path)
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if asked and self.headers.get("If-Range") == server.version:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(server.data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.data[start:]
        self.send_response(server.status if server.status != 200 else 206 if start else 200)
        self.send_header("Content-Length", str(server.announced or len(body)))
        self.send_header("ETag", server.version)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        self.end_headers()
        self.wfile.write(body[: server.cut])
        self.close_connection = server.cut is not None or server.announced is not None

    def log_message(self, *_):
        pass


@contextmanager
def serving(data):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.data, server.cut, server.asked, server.version = data, None, [], '"1"'
    server.status, server.announced, server.paths = 200, None, []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
