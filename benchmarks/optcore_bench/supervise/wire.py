"""The two ways of talking: framed messages between supervisor and child, lines of JSON between supervisor and guard.

The supervisor's side of a run never blocks, so that a child that stops reading or writing can't outlast its deadline.
"""

from __future__ import annotations

import json
import socket
import struct
from time import monotonic
from typing import Any

__all__ = ["Disconnected", "Exchange", "Garbled", "Lines", "receive", "send"]

_HEADER = struct.Struct("=4sQQ")  # magic, number of the run, bytes that follow
_MAGIC = b"ocr1"
_CHUNK = 1 << 18


class Disconnected(Exception):  # noqa: N818  an event of the protocol, not an error of a caller
    """The other end is gone."""


class Garbled(Exception):  # noqa: N818  as above
    """Something arrived that is not a message of the run that was asked for."""


def send(sock: socket.socket, number: int, body: bytes) -> None:
    """Send one message; blocks (the child's side)."""
    sock.sendall(_HEADER.pack(_MAGIC, number, len(body)) + body)


def receive(sock: socket.socket) -> tuple[int, bytes]:
    """Wait for one message (the child's side).

    Raises:
        Disconnected: if the other end was closed.
    """
    magic, number, size = _HEADER.unpack(_exactly(sock, _HEADER.size))
    if magic != _MAGIC:
        raise Disconnected
    return number, _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        got = sock.recv_into(view[filled:])
        if not got:
            raise Disconnected
        filled += got
    return bytes(data)


class Exchange:
    """One message out and one answer back over a non-blocking socket; either may be absent or arrive in pieces.

    Args:
        sock: a non-blocking socket.
        number: number of the run; the answer has to carry it too.
        body: what to send; None if only an answer is awaited.
    """

    def __init__(self, sock: socket.socket, number: int, body: bytes | None) -> None:
        self._sock = sock
        self._number = number
        message = b"" if body is None else _HEADER.pack(_MAGIC, number, len(body)) + body
        self._unsent = memoryview(message)
        self._received = bytearray()

    @property
    def sending(self) -> bool:
        """Whether something remains to be sent."""
        return len(self._unsent) > 0

    def step(self) -> bytes | None:
        """Send and take as much as goes without waiting: the answer once it is complete, None before.

        Raises:
            Disconnected: if the other end is gone and the answer is not complete.
            Garbled: if what arrived is not the answer to this run.
        """
        answer = self.read()
        if answer is None and self._unsent:
            self.write()
        return answer

    def write(self) -> None:
        """Send as much as goes without waiting.

        Raises:
            Disconnected: if the other end is gone.
        """
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Disconnected from error

    def read(self) -> bytes | None:
        """Take what has arrived: the answer once it is complete, None before.

        Raises:
            Disconnected: if the other end is gone and the answer is not complete.
            Garbled: if what arrived is not the answer to this run.
        """
        while True:
            try:
                data = self._sock.recv(_CHUNK)
            except BlockingIOError:
                return None
            except OSError as error:
                raise Disconnected from error
            if not data:
                raise Disconnected
            self._received += data
            answer = self._complete()
            if answer is not None:
                return answer

    def _complete(self) -> bytes | None:
        if len(self._received) < _HEADER.size:
            return None
        magic, number, size = _HEADER.unpack_from(self._received)
        if magic != _MAGIC or number != self._number or len(self._received) > _HEADER.size + size:
            raise Garbled
        return bytes(self._received[_HEADER.size :]) if len(self._received) == _HEADER.size + size else None


class Lines:
    """JSON objects, one a line, over a blocking socket.

    Args:
        sock: the socket; stays the caller's to close.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send one object, and with it file descriptors.

        Raises:
            Disconnected: if the other end is gone.
        """
        line = json.dumps(message).encode() + b"\n"
        try:
            sent = socket.send_fds(self._sock, [line], fds) if fds else 0
            self._sock.sendall(line[sent:])
        except OSError as error:
            raise Disconnected from error

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next object.

        Args:
            seconds: how long to wait for it.

        Raises:
            Disconnected: if the other end is gone.
            TimeoutError: if none came in time.
        """
        end = monotonic() + seconds
        while b"\n" not in self._buffer:
            self._sock.settimeout(max(end - monotonic(), 1e-3))
            try:
                data = self._sock.recv(_CHUNK)
            except TimeoutError:
                raise
            except OSError as error:
                raise Disconnected from error
            if not data:
                raise Disconnected
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message
