"""What the decoders of msgspec raise for bytes that are not what was promised."""

from __future__ import annotations

from typing import Final

import msgspec

# Malformed or of another shape; text that is no UTF-8; arrays in arrays until the stack ends.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
