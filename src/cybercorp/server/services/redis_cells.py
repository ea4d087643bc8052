"""Limits of several instances, counted in Redis: one script, so each count is exact whoever asks at once.

Where Redis does not answer nothing is allowed: a limit that nobody keeps would be none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

TIMEOUT_S = 1.0
UNREACHABLE_WAIT_S = 5.0
PREFIX = "cybercorp:limit:"
# GCRA on the server's own clock, in microseconds. Returns the microseconds to wait, 0 where it was counted.
_TAKE = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or at), at)
local wait = arrival + interval - tolerance - at
if wait > 0 then return wait end
local after = arrival + interval
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - at) / 1000) + 1)
return 0
"""


class RedisCells:
    """Counts in Redis; see `limits.Cells`."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis

        self._redis: Redis = Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, health_check_interval=10
        )
        self._take: Any = self._redis.register_script(_TAKE)

    async def take(self, key: str, interval_s: float, tolerance_s: float, cost: int) -> float:
        """0 where it was counted; else the seconds to wait, also where Redis does not answer."""
        from redis.exceptions import RedisError

        try:
            wait = await self._take(
                keys=[PREFIX + key], args=[round(interval_s * cost * 1e6), round(tolerance_s * 1e6)]
            )
        except (RedisError, OSError):
            return UNREACHABLE_WAIT_S
        return float(wait) / 1e6

    async def clear(self, key: str) -> None:
        from redis.exceptions import RedisError

        try:
            await self._redis.delete(PREFIX + key)
        except (RedisError, OSError):
            return  # it is counted a little longer than it should be

    async def close(self) -> None:
        await self._redis.aclose()
