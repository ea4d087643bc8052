"""Where the frames of a WebSocket end (RFC 6455, section 5.2), and the ones that most connections are made of.

A whole binary message in one frame is unmasked here, in C; every other frame goes on to the library as it came.
"""

from __future__ import annotations

from collections.abc import Callable

from websockets.speedups import apply_mask

_WHOLE_BINARY = 0x82  # FIN, opcode 2
_OPCODE, _MASKED, _LENGTH = 0x0F, 0x80, 0x7F
_FIRST_CONTROL = 0x8
_SHORT_BYTES = 126


class FrameSplitter:
    """Cuts a client's bytes into frames. It must be begun at the start of a frame.

    `on_message`, where it is set, gets the payload of each binary message that came in one frame; `on_frame` gets the
    bytes of every other frame. Data in any other shape unsets `on_message`, so that nothing overtakes it; it may be set
    again when no message in fragments is open. What breaks
    the protocol or is longer than `max_bytes` goes to `on_frame` with all that follows it, which answers as the
    protocol says; the splitter takes nothing more then. `may` is asked before each frame: where it says no, `on_flood`
    is called once, and nothing is read any more.
    """

    def __init__(
        self,
        on_frame: Callable[[bytes], None],
        *,
        max_bytes: int,
        may: Callable[[], bool] = lambda: True,
        on_flood: Callable[[], None] = lambda: None,
    ) -> None:
        self.on_message: Callable[[bytes], None] | None = None
        self._on_frame = on_frame
        self._max_bytes = max_bytes
        self._may = may
        self._on_flood = on_flood
        self._rest = bytearray()
        self._needed = 0
        self._broken = False

    def feed(self, data: bytes) -> None:
        """Bytes as they arrived; any part of a frame, or many."""
        if self._broken:
            self._on_frame(data)
            return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        start, size = 0, len(data)
        while start < size:
            body, end = self._measure(data, start)
            if end < 0:
                self._broken = True
                self._on_frame(data[start:])
                return
            if end > size:
                self._rest += data[start:]
                self._needed = end - start
                return
            if not self._may():
                self._broken, self._on_frame = True, _forget
                self._on_flood()
                return
            if data[start] == _WHOLE_BINARY and self.on_message is not None:
                self.on_message(apply_mask(data[body:end], data[body - 4 : body]))
            else:
                if data[start] & _OPCODE < _FIRST_CONTROL:
                    self.on_message = None
                self._on_frame(data[start:end])
            start = end

    def _measure(self, data: bytes, start: int) -> tuple[int, int]:
        """Where the payload begins and ends; an end past `data` where that is not known yet, −1 for a wrong frame."""
        if len(data) < start + 2:
            return 0, start + 2
        second = data[start + 1]
        length, body = second & _LENGTH, start + 6
        if length >= _SHORT_BYTES:
            wide = 2 if length == _SHORT_BYTES else 8
            body += wide
            if len(data) < start + 2 + wide:
                return 0, start + 2 + wide
            length = int.from_bytes(data[start + 2 : start + 2 + wide], "big")
        if not second & _MASKED or length > self._max_bytes:
            return body, -1
        return body, body + length


def _forget(data: bytes) -> None:
    """Nobody reads what comes after a flood."""
