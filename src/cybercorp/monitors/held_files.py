"""Files of /proc and /sys that stay open: reading again is one `pread` instead of open, read and close."""

from __future__ import annotations

import contextlib
import os

CHUNK_BYTES = 32 * 1024
LONGEST_BYTES = 16 * 1024 * 1024


class HeldFile:
    """A text of the kernel, read anew from its start each time; opened at the first read and after an error."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def read(self) -> bytes:
        """The whole text. Raises OSError."""
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            text = os.pread(self._descriptor, CHUNK_BYTES, 0)
            # The kernel hands out whole records, a page at a time at most: only an empty read is the end.
            while text and len(text) < LONGEST_BYTES:
                more = os.pread(self._descriptor, CHUNK_BYTES, len(text))
                if not more:
                    break
                text += more
            return text
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """The open descriptor, -1 while there is none."""
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


class SharedFile:
    """A held file that several monitors read: within one call of the sampler it is read once."""

    def __init__(self, path: str) -> None:
        self._file = HeldFile(path)
        self._now = float("nan")
        self._text = b""

    def read(self, now: float) -> bytes:
        """The text as of the call at `now` (monotonic seconds). Raises OSError."""
        if now != self._now:
            self._text = self._file.read()
            self._now = now
        return self._text

    def close(self) -> None:
        self._file.close()
