"""An export while it comes: its blocks one after the other, with either client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from types import TracebackType
from typing import Protocol, Self

from cybercorp.client.calls import Caller, Params, complete
from cybercorp.core.errors import MalformedMessageError
from cybercorp.protocol.exports import ExportBlock, ExportHead, ExportReader


class StreamingCaller(Caller, Protocol):
    """A transport that also hands an answer over piece by piece."""

    def stream(self, path: str, *, params: Params = ()) -> AsyncGenerator[bytes, None]: ...


class Export:
    """`head` says what will come; then the blocks, host by host in order of time.

        async for block in await client.metrics.export("cpu", hosts="web-*", since="1d"):
            print(block.host, block.times_ms()[0], block.values_of(0)[0])

    With the blocking client it is a plain `for`. The next block is asked for when the one before was taken, so nothing
    piles up; leave early through `close` (or `with`), which ends the request. A body that was cut raises
    UnreachableError (`cut`).
    """

    def __init__(self, head: ExportHead, blocks: AsyncGenerator[ExportBlock, None]) -> None:
        self.head = head
        self._blocks = blocks

    def __aiter__(self) -> AsyncIterator[ExportBlock]:
        return self._blocks

    def __iter__(self) -> Iterator[ExportBlock]:
        while (block := complete(self._next())) is not None:
            yield block

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def aclose(self) -> None:
        """End the request."""
        await self._blocks.aclose()

    def close(self) -> None:
        """`aclose` of the blocking client."""
        complete(self.aclose())

    async def _next(self) -> ExportBlock | None:
        return await anext(self._blocks, None)


async def open_export(caller: StreamingCaller, params: Params) -> Export:
    """Ask for an export and wait for its head. Raises what the server says, MalformedMessageError."""
    frames = _frames(caller, params)
    head = await anext(frames, None)
    if not isinstance(head, ExportHead):
        await frames.aclose()
        raise MalformedMessageError(
            "What the server sent is no export.", hint="Install the same CyberCorp version on both sides."
        )
    return Export(head, _blocks(frames))


async def _frames(caller: StreamingCaller, params: Params) -> AsyncGenerator[ExportHead | ExportBlock, None]:
    reader = ExportReader()
    pieces = caller.stream("/api/v1/metrics/export", params=params)
    try:
        async for piece in pieces:
            for frame in reader.feed(piece):
                yield frame
        reader.finish()
    finally:
        await pieces.aclose()


async def _blocks(frames: AsyncGenerator[ExportHead | ExportBlock, None]) -> AsyncGenerator[ExportBlock, None]:
    try:
        async for frame in frames:
            if isinstance(frame, ExportBlock):
                yield frame
    finally:
        await frames.aclose()
