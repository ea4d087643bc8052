"""Keys: what encrypts what the server stores."""

from __future__ import annotations

from cybercorp.client.calls import Caller, complete
from cybercorp.protocol.keys import KeyStatus

_PATH = "/api/v1/keys"


class AsyncKeys:
    """Data keys: `client.keys`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def status(self) -> KeyStatus:
        """Which keys there are, which one encrypts, and how far a rotation is."""
        return await self._caller.call("GET", f"{_PATH}/", KeyStatus)

    async def rotate(self) -> KeyStatus:
        """Make a new key; the server encrypts everything with it in the background. Raises StepUpRequiredError."""
        return await self._caller.call("POST", f"{_PATH}/rotate", KeyStatus)


class Keys:
    """`AsyncKeys` without await."""

    def __init__(self, keys: AsyncKeys) -> None:
        self._keys = keys

    def status(self) -> KeyStatus:
        """See `AsyncKeys.status`."""
        return complete(self._keys.status())

    def rotate(self) -> KeyStatus:
        """See `AsyncKeys.rotate`."""
        return complete(self._keys.rotate())
