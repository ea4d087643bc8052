"""Passwords: Argon2id (RFC 9106) in a few threads, so that no number of log-ins takes the machine's memory."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from cybercorp.core.errors import InvalidInputError, RateLimitedError
from cybercorp.protocol.users import MAX_PASSWORD, MIN_PASSWORD
from cybercorp.server.services.leaked_passwords import is_leaked

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ResultT = TypeVar("ResultT")
MEMORY_KIB = 64 * 1024
PASSES = 3
LANES = 4
THREADS = 2
MAX_WAITING = 64
KEPT_FREE = 16  # of these, for whoever logs in from where they usually are
_LEAST_BESIDE_A_NAME = 5
# Not on the list of leaked ones, and tried all the same.
_ALSO = frozenset(
    {
        *("adminadminadmin", "changeme1234", "changemechangeme", "correcthorsebatterystaple", "letmein12345"),
        *("monkey123456", "p@ssw0rd1234", "password123456", "sunshine1234", "superman1234", "welcomewelcome"),
    }
)


class Passwords:
    """Hash and verify. The costs are parameters for tests only."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES, lanes: int = LANES) -> None:
        from argon2 import PasswordHasher

        self._hasher: PasswordHasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """The hash in its own format (PHC), with a salt of its own. Raises RateLimitedError where too many wait."""
        return await self._run(lambda: self._hasher.hash(normalized(password)))

    async def verify(self, hashed: str | None, password: str, *, stranger: bool = False) -> bool:
        """Whether it is the password. None stands for nobody: the same work, always False.

        A `stranger` has no claim on the last places: however many try from everywhere, others still come in.
        """
        most = MAX_WAITING - KEPT_FREE if stranger else MAX_WAITING
        return await self._run(lambda: self._verify(hashed, normalized(password)), most)

    def needs_rehash(self, hashed: str) -> bool:
        """Whether it was made with other costs than today's."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hashed: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        if not self._nobody:
            self._nobody = self._hasher.hash("nobody has this password")
        try:
            return self._hasher.verify(hashed or self._nobody, password) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], ResultT], most: int = MAX_WAITING) -> ResultT:
        if self._waiting >= most:
            raise RateLimitedError("Too many log in at once.", hint="Try again in a few seconds.", retry_after_s=5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def normalized(password: str) -> str:
    """NFKC: the same characters, however a keyboard makes them (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password[: 4 * MAX_PASSWORD])


def check_password(password: str, name: str = "") -> str:
    """A password that may be set. Raises InvalidInputError (`weak_password`), which never repeats it."""
    made = normalized(password)
    if not MIN_PASSWORD <= len(made) <= MAX_PASSWORD:
        raise _weak(
            f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters; this one has {len(password)}.",
            "Several words are easy to remember, and long enough.",
        )
    folded = made.casefold()
    if (
        len(set(folded)) < 5
        or folded in _ALSO
        or is_leaked(folded)
        or any(_made_of(word, folded) for word in (name, "cybercorp"))
    ):
        raise _weak("This password is one of the first that everybody tries.", "Choose several unrelated words.")
    return made


def _made_of(word: str, folded: str) -> bool:
    """Whether little but digits is beside this word."""
    rest = folded.replace(word.casefold(), "") if word else folded
    return rest != folded and (len(rest) < _LEAST_BESIDE_A_NAME or rest.isdigit())


def _weak(message: str, hint: str) -> InvalidInputError:
    return InvalidInputError(message, hint=hint, code="weak_password")
