"""Which passwords nobody may choose: leaked ones, and what is made of a name."""

from __future__ import annotations

import pytest

from cybercorp.core.errors import InvalidInputError
from cybercorp.server.services.leaked_passwords import count, is_leaked
from cybercorp.server.services.passwords import check_password

LEAKED = (
    "123qweasdzxc",
    "1qaz2wsx3edc",
    "leavemealone",
    "sonyericsson",
    "Unbelievable",
    "finalfantasy",
    "PASSWORDPASSWORD",
)
FINE = ("four unrelated words", "correct horse battery staple", "ada likes 3 cats in Rome", "\u4e2d\u6587" * 6 + "abc")


def test_the_list_is_long_enough() -> None:
    """ASVS 6.2.4 asks for the 3,000 most common of the length that is allowed."""
    assert count() > 40_000


@pytest.mark.parametrize("password", LEAKED)
def test_leaked_ones_are_refused(password: str) -> None:
    """In any case of letters; the error does not say which one."""
    with pytest.raises(InvalidInputError) as error:
        check_password(password, "ada")
    assert error.value.error_code == "weak_password"
    assert password not in str(error.value)


@pytest.mark.parametrize("password", ["cybercorp123", "CyberCorpCyberCorp", "bartholomew1234567", "bartholomew!"])
def test_what_is_made_of_a_name_is_refused(password: str) -> None:
    """The user's or the product's, with digits or little else beside it."""
    with pytest.raises(InvalidInputError):
        check_password(password, "bartholomew")


@pytest.mark.parametrize("password", FINE)
def test_others_are_taken(password: str) -> None:
    """Words in any language, also with a name among them."""
    assert check_password(password, "ada") == password


def test_the_ends_of_the_list_are_found() -> None:
    """Nothing before the first, nothing behind the last."""
    assert not any(is_leaked(f"never leaked {number}") for number in range(1_000))
