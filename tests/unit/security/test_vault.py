"""Encryption at rest: what is sealed opens in its place alone, with its key alone, unchanged alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.core.errors import StorageCorruptError
from cybercorp.security.vault import Vault, is_sealed, key_number, new_key, unwrap_key, wrap_key

PLACE = {"table": "factors", "column": "secret", "row": "factor_1"}


@given(st.binary(max_size=300), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_what_is_sealed_opens(plain: bytes, table: str, column: str, row: str) -> None:
    """As bytes and as text, whatever the names are; the plain text is not in it."""
    vault = Vault({1: new_key()}, 1)
    text = vault.seal(plain, table=table, column=column, row=row)
    data = vault.seal_bytes(plain, table=table, column=column, row=row)
    assert vault.open(text, table=table, column=column, row=row) == plain
    assert vault.open_bytes(data, table=table, column=column, row=row) == plain
    assert is_sealed(text)
    assert is_sealed(data)
    assert len(plain) < 4 or plain not in data[8:]  # behind the mark and the number of the key


@pytest.mark.parametrize("other", [{"table": "users"}, {"column": "name"}, {"row": "factor_2"}])
def test_it_opens_nowhere_else(other: dict[str, str]) -> None:
    """Moved to another row, column or table it is refused."""
    vault = Vault({1: new_key()}, 1)
    with pytest.raises(StorageCorruptError) as refused:
        vault.open(vault.seal(b"secret", **PLACE), **{**PLACE, **other})
    assert refused.value.error_code == "sealed_wrong"


def test_places_are_told_apart_whatever_they_hold() -> None:
    """`ab` + `c` is not `a` + `bc`."""
    vault = Vault({1: new_key()}, 1)
    sealed = vault.seal(b"x", table="ab", column="c", row="r")
    with pytest.raises(StorageCorruptError):
        vault.open(sealed, table="a", column="bc", row="r")


def test_every_changed_bit_is_seen() -> None:
    """Also those of the mark and of the key's number."""
    vault = Vault({1: new_key(), 2: new_key()}, 1)
    sealed = vault.seal_bytes(b"secret", **PLACE)
    for at in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(StorageCorruptError):
            vault.open_bytes(bytes(changed), **PLACE)
    for cut in range(len(sealed)):
        with pytest.raises(StorageCorruptError):
            vault.open_bytes(sealed[:cut], **PLACE)


@pytest.mark.parametrize("text", ["", "sealed1.", "sealed1.***", "sealed1.AAAA", "secret", "sealed1.é"])
def test_what_was_never_sealed(text: str) -> None:
    """Is refused in the same words, not with a traceback."""
    with pytest.raises(StorageCorruptError, match="does not open"):
        Vault({1: new_key()}, 1).open(text, **PLACE)


def test_keys_change_while_it_is_in_use() -> None:
    """After a rotation the new key seals, the old one still opens; once dropped, it says which one is missing."""
    vault = Vault({1: new_key()}, 1)
    before = vault.seal(b"secret", **PLACE)
    vault.add(2, new_key())
    vault.use(2)
    after = vault.seal(b"secret", **PLACE)
    assert (key_number(before), key_number(after), vault.current) == (1, 2, 2)
    assert vault.open(before, **PLACE) == vault.open(after, **PLACE) == b"secret"
    with pytest.raises(ValueError, match="stays"):
        vault.drop(2)
    vault.drop(1)
    with pytest.raises(StorageCorruptError) as missing:
        vault.open(before, **PLACE)
    assert missing.value.error_code == "key_missing"


def test_equal_texts_are_not_seen_to_be_equal() -> None:
    """Each is sealed with a nonce of its own."""
    vault = Vault({1: new_key()}, 1)
    assert len({vault.seal(b"secret", **PLACE) for _ in range(50)}) == 50


def test_wrapped_keys() -> None:
    """A data key is stored wrapped: for its number, under its key-encryption key."""
    key, outer = new_key(), new_key()
    wrapped = wrap_key(key, 7, outer)
    assert unwrap_key(wrapped, 7, outer) == key
    for number, other in ((8, outer), (7, new_key())):
        with pytest.raises(StorageCorruptError):
            unwrap_key(wrapped, number, other)
    with pytest.raises(StorageCorruptError):
        unwrap_key("no base64 at all", 7, outer)
