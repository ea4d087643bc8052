"""security.credentials: the file that only its owner may read."""

import stat
from pathlib import Path

import pytest

from cybercorp.core.errors import AccessError, InvalidInputError
from cybercorp.security.credentials import Credential, read_credential, write_credential

ONE = Credential(url="http://127.0.0.1:8765", token="cco_x_y")


def test_a_credential_survives_writing_and_reading(tmp_path: Path) -> None:
    """What was written is read again; the file is 0600; an absent file is None."""
    path = tmp_path / "owner.json"
    assert read_credential(path) is None
    write_credential(path, ONE)
    assert read_credential(path) == ONE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_credential_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A readable secret is no secret: the error says how to mend it."""
    path = tmp_path / "owner.json"
    write_credential(path, ONE)
    path.chmod(0o644)
    with pytest.raises(AccessError, match="chmod 600"):
        read_credential(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"url": 1, "token": "x"}', b"\xff\xfe"])
def test_a_damaged_credential_is_said(tmp_path: Path, content: bytes) -> None:
    """No traceback for a torn or foreign file."""
    path = tmp_path / "owner.json"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="damaged"):
        read_credential(path)
