"""protocol.hosts: names that an agent may call itself."""

import pytest

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.hosts import check_host_name


@pytest.mark.parametrize("name", ["web-1", "db.example.com", "機械", "h" * 253])
def test_honest_names_pass(name: str) -> None:
    """Names in any script, up to the length of a DNS name."""
    assert check_host_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "a\n", "a\x1b[31m", "a\u202eb", "h" * 254, "h" * 1_000_000, "\x9b", "a\u200b"]
)
def test_hostile_names_are_refused_with_a_hint(name: str) -> None:
    """Blanks, controls, bidi overrides, invisible characters and endless names do not become host names."""
    with pytest.raises(InvalidInputError, match="--name"):
        check_host_name(name)
