"""A client of the daemon's control socket: varlink is JSON with a zero byte behind each message."""

import json
import select
import socket

from lab import Failed

# Seconds; a daemon that answers later is taken to hang.
PATIENCE = 30
CHUNK = 1 << 16


class Refused(Failed):
    """The daemon answered with an error."""


def short(parameters):
    text = json.dumps(parameters)
    return text if len(text) < 200 else f"{text[:200]}.."


class Connection:
    """One connection, and the bytes that came by it and were not read yet."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self.rest = b""

    def send(self, method, parameters, more=False):
        message = {"method": f"io.vswitch.{method}", "parameters": parameters}
        if more:
            message["more"] = True
        self.socket.sendall(json.dumps(message).encode() + b"\0")

    def message(self):
        """The next message."""
        while b"\0" not in self.rest:
            chunk = self.socket.recv(CHUNK)
            if not chunk:
                raise Failed("the daemon hung up")
            self.rest += chunk
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def waiting(self):
        """All whole messages that are there now."""
        while select.select([self.socket], [], [], 0)[0]:
            chunk = self.socket.recv(CHUNK)
            if not chunk:
                raise Failed("the daemon hung up")
            self.rest += chunk
            if len(self.rest) > 64 * CHUNK:
                break
        *texts, self.rest = self.rest.split(b"\0")
        return [json.loads(text) for text in texts]

    def close(self):
        self.socket.close()


class Api:
    """Calls, each on a connection of its own."""

    def __init__(self, path):
        self.path = path

    def call(self, method, **parameters):
        """The parameters of the reply. Raises `Refused` when the daemon answers with an error."""
        try:
            connection = Connection(self.path)
            try:
                connection.send(method, parameters)
                reply = connection.message()
            finally:
                connection.close()
        except OSError as error:
            raise Failed(f"{method} {short(parameters)}: {error}") from None
        if "error" in reply:
            told = f"{reply['error']} {json.dumps(reply.get('parameters'))}"
            raise Refused(f"{method} {short(parameters)}: {told}")
        return reply["parameters"]

    def stream(self, method, **parameters):
        """A call with many replies, begun; the connection to read them from."""
        connection = Connection(self.path)
        connection.send(method, parameters, more=True)
        return connection
