"""security.tokens: opaque tokens with a kind and a checksum."""

import pytest

from cybercorp.security.tokens import TokenKind, new_token, token_hash, token_kind


@pytest.mark.parametrize("kind", [kind for kind in TokenKind if kind is not TokenKind.ACCESS])
def test_tokens_know_their_kind_and_never_repeat(kind: TokenKind) -> None:
    """A token tells what it is for; two are never the same; the hash is what is stored."""
    one, two = new_token(kind), new_token(kind)
    assert one != two
    assert token_kind(one) is kind
    assert len(token_hash(one)) == 64
    assert one not in token_hash(one)


@pytest.mark.parametrize("text", ["", "cco", "cco__", "x" * 10_000, "cco_abc_00000000", "ccö_a_b", "cco_" + "a" * 52])
def test_what_is_no_token_has_no_kind(text: str) -> None:
    """Malformed, over-long and non-ASCII texts are recognised without a look-up."""
    assert token_kind(text) is None


def test_one_wrong_letter_is_noticed() -> None:
    """The checksum finds a typing error before a database is asked."""
    token = new_token(TokenKind.OWNER)
    swapped = token[:10] + ("a" if token[10] != "a" else "b") + token[11:]
    assert token_kind(swapped) is None


def test_an_access_token_is_known_by_its_dots() -> None:
    """A JWT is not ours to check here; it is only told apart, up to the length that one may have."""
    assert token_kind("aaa.bbb.ccc") is TokenKind.ACCESS
    assert token_kind("a.b." + "c" * 8188) is TokenKind.ACCESS
    assert token_kind("a.b." + "c" * 8189) is None
    assert token_kind("a.b.c.d") is None
