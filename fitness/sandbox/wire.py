"""Messages between the trusted process and its server: a length, JSON one way and a fixed record the other."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

# What a server says of a finished child: wait status, whether the server had to end it, seconds of CPU time.
RECORD = struct.Struct("<i?d")
_LENGTH = struct.Struct("<Q")


class Closed(ConnectionError):  # noqa: N818 - what happened is said by the message
    """The other side is gone."""


def send_message(connection: socket.socket, message: dict[str, Any], descriptor: int | None = None) -> None:
    """Sends a JSON message, with a descriptor beside it if asked."""
    payload = json.dumps(message).encode("ascii")
    # In one piece, or the other side wakes up for the length alone.
    whole = _LENGTH.pack(len(payload)) + payload
    try:
        sent = 0 if descriptor is None else socket.send_fds(connection, [whole], [descriptor])
        connection.sendall(memoryview(whole)[sent:])
    except OSError as error:
        raise Closed(str(error)) from None


def receive_message(connection: socket.socket) -> tuple[dict[str, Any], int | None]:
    """The next message, and the descriptor that came with it.

    Raises:
        Closed: when the other side is gone.
    """
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
        if not head:
            raise Closed("end of file")
        head += receive_exactly(connection, _LENGTH.size - len(head))
        (length,) = _LENGTH.unpack(head)
        return json.loads(receive_exactly(connection, length)), descriptors[0] if descriptors else None
    except OSError as error:
        raise Closed(str(error)) from None


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes.

    Raises:
        Closed: when the other side is gone before.
        TimeoutError: when the connection has a timeout and it passes.
    """
    parts = bytearray()
    while len(parts) < size:
        try:
            part = connection.recv(size - len(parts))
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from None
        if not part:
            raise Closed("end of file")
        parts += part
    return bytes(parts)
