"""Sockets on loopback that listen, refuse, never accept, or drop what comes."""

import socket
from dataclasses import dataclass, field

ADDRESS = "127.0.0.1"
_BACKLOG = 1024


@dataclass
class DeadPorts:
    """Three ports where no server is: `closed`, `deaf` and `full`; `close` frees them."""

    # Bound but not listening: connections to it are refused.
    closed_socket: socket.socket = field(default_factory=lambda: _bound())
    # Listening but never accepting: the kernel shakes hands, and nobody ever reads.
    deaf_socket: socket.socket = field(default_factory=lambda: _listening(_BACKLOG))
    # Its queue holds one connection, which is our own: the kernel drops all others.
    full_socket: socket.socket = field(default_factory=lambda: _listening(0))
    _callers: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(4):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex((ADDRESS, port_of(self.full_socket)))
            self._callers.append(caller)

    def close(self) -> None:
        """Free the ports."""
        for one in (self.closed_socket, self.deaf_socket, self.full_socket, *self._callers):
            one.close()


def port_of(bound: socket.socket) -> int:
    """The port that a socket is bound to."""
    return int(bound.getsockname()[1])


def listen(port: int = 0) -> socket.socket:
    """A socket that listens on loopback; port 0: any free one."""
    return socket.create_server((ADDRESS, port), backlog=_BACKLOG)


def _bound() -> socket.socket:
    one = socket.socket()
    one.bind((ADDRESS, 0))
    return one


def _listening(backlog: int) -> socket.socket:
    one = _bound()
    one.listen(backlog)
    return one
