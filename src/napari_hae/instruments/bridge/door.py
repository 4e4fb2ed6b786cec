"""The door of the server: it stops everyone who has not proved to know the token.

One thread listens, and keeps all who wait to be admitted, so that a thousand of them
cost no more than the few that have a place. Of each a few hundred bytes are read and
nothing is unpacked.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from napari_hae.instruments.bridge import PROTOCOL, admission, former
from napari_hae.instruments.bridge.admission import NoAdmission, Proofs, Refused
from napari_hae.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.instruments.bridge.admission import Caller

    Admit = Callable[[socket.socket, Caller, Proofs, str], Callable[[], None]]

logger = logging.getLogger(__name__)

PLACES = 32
"""Places for visitors awaiting admission; when full, a newcomer replaces another."""
PATIENCE_S = 5.0
"""Longest time for the whole admission, in s."""
_REST_S = 0.1


class Visitor:
    """A connection that is not admitted yet."""

    def __init__(self, sock: socket.socket, host: str, port: int) -> None:
        self.sock = sock
        self.host = host
        self.address = f"{host}:{port}"
        self.until_s = time.monotonic() + PATIENCE_S
        self.received = bytearray()
        self.proofs: Proofs | None = None


class Door:
    """Listener that admits clients with the token and the same protocol version.

    Parameters
    ----------
    admit
        Called with the connection of a client, who it is, the proofs, and its address;
        gives what is to be called when the client knows that it is admitted. It has to
        return soon, and may raise `Refused`.

    Raises
    ------
    OSError
        If nobody can listen there.
    """

    def __init__(self, host: str, port: int, token: str, admit: Admit) -> None:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._listening = socket.create_server((host, port), family=family, backlog=128)
        self._listening.setblocking(False)
        port = self._listening.getsockname()[1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._token = token
        self._admit = admit
        self._visitors: dict[socket.socket, Visitor] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._is_over = threading.Event()
        self._log = _SparingLog()
        self._thread = threading.Thread(
            target=self._watch, name="napari-hae-door", daemon=True
        )

    def open(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._is_over.set()
        if self._thread.is_alive():
            self._waker.send(b"\0")
            self._thread.join()
        for visitor in list(self._visitors.values()):
            self._drop(visitor)
        self._selector.close()
        for each in (self._listening, self._woken, self._waker):
            each.close()

    def _watch(self) -> None:
        while not self._is_over.is_set():
            try:
                self._look()
            # Whatever one visitor does, the door has to stay open for the others.
            except Exception:
                logger.exception("the door of the server failed, and goes on")
                self._is_over.wait(_REST_S)

    def _look(self) -> None:
        now_s = time.monotonic()
        first_s = min((v.until_s for v in self._visitors.values()), default=now_s + 60)
        for key, _ in self._selector.select(max(first_s - now_s, 0)):
            if key.fileobj is self._listening:
                self._take_in()
            elif (visitor := self._visitors.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                self._hear(visitor)
        now_s = time.monotonic()
        for visitor in [v for v in self._visitors.values() if v.until_s <= now_s]:
            self._turn_away(visitor, f"no token within {PATIENCE_S:g} s")

    def _take_in(self) -> None:
        try:
            sock, (host, port, *_) = self._listening.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Too many open files: new visitors have to wait.
            self._log.warn("a connection could not be taken: %s", error)
            self._is_over.wait(_REST_S)
            return
        if len(self._visitors) >= PLACES:
            self._turn_away(self._whose_place(), "too many at the door")
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError:
            sock.close()
            return
        self._selector.register(sock, selectors.EVENT_READ)
        self._visitors[sock] = Visitor(sock, host, port)

    def _whose_place(self) -> Visitor:
        """Return the longest-waiting visitor, of the host with most visitors.

        A visitor that has sent a valid message is replaced only if all have.
        """
        silent = [each for each in self._visitors.values() if each.proofs is None]
        visitors = silent or list(self._visitors.values())
        [(crowded, _)] = Counter(each.host for each in visitors).most_common(1)
        return next(each for each in visitors if each.host == crowded)

    def _hear(self, visitor: Visitor) -> None:
        try:
            self._go_on(visitor)
        except BlockingIOError:
            return
        except Refused as error:
            self._say(visitor, admission.refused(str(error)))
            self._turn_away(visitor, error.short)
        except NoAdmission as error:
            self._turn_away(visitor, str(error))
        except OSError:
            self._drop(visitor)
        except Exception:
            self._drop(visitor)
            raise

    def _go_on(self, visitor: Visitor) -> None:
        more = visitor.sock.recv(admission.MOST_IN_ALL - len(visitor.received))
        if not more:
            self._drop(visitor)
            return
        visitor.received += more
        if former.is_client(visitor.received):
            visitor.sock.send(former.refusal())
            raise NoAdmission("other version")
        missing = admission.missing(visitor.received)
        if missing > 0:
            return
        if missing < 0:
            raise NoAdmission("it sends more than it was asked for")
        message = admission.message(visitor.received)
        visitor.received.clear()
        if visitor.proofs is None:
            self._challenge(visitor, message)
        else:
            self._check(visitor, message.payload, visitor.proofs)

    def _challenge(self, visitor: Visitor, message: admission.Message) -> None:
        admission.version_in(message.payload)
        own = admission.nonce_and(__version__)
        self._say(visitor, own)
        if message.protocol != PROTOCOL:
            # The client reads this side's version, and says what to do.
            raise NoAdmission("other version")
        visitor.proofs = Proofs(self._token, PROTOCOL, message.payload, own)

    def _check(self, visitor: Visitor, payload: bytes, proofs: Proofs) -> None:
        caller = admission.checked_caller(payload, proofs)
        begin = self._admit(visitor.sock, caller, proofs, visitor.address)
        del self._visitors[visitor.sock]
        self._selector.unregister(visitor.sock)
        self._say(visitor, admission.admitted(proofs))
        begin()

    def _say(self, visitor: Visitor, payload: bytes) -> None:
        """Send a short message; drop a visitor that does not accept it at once."""
        said = admission.Message(PROTOCOL, payload).to_bytes()
        with suppress(OSError):
            if visitor.sock.send(said) == len(said):
                return
        self._drop(visitor)

    def _turn_away(self, visitor: Visitor, why: str) -> None:
        self._log.warn("refused a connection from %s: %s", visitor.address, why)
        self._drop(visitor)

    def _drop(self, visitor: Visitor) -> None:
        if self._visitors.pop(visitor.sock, None) is not None:
            self._selector.unregister(visitor.sock)
        visitor.sock.close()


class _SparingLog:
    """Log of at most one warning a second, so that outsiders cannot fill the disk."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._left_out = 0

    def warn(self, text: str, *arguments: object) -> None:
        """Log a warning, or count it as left out."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            self._left_out += 1
            return
        more = f" ({self._left_out} more before)" if self._left_out else ""
        logger.warning(text + more, *arguments)
        self._next_s, self._left_out = now_s + 1.0, 0
