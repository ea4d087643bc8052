"""core.paths: folders, private files, and what happens where nothing can be written."""

import stat
from pathlib import Path

import pytest

from cybercorp.core.errors import StorageUnwritableError
from cybercorp.core.paths import config_dir, data_dir, ensure_private_dir, write_private_file


def test_folders_can_be_named_by_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CYBERCORP_DATA_DIR and CYBERCORP_CONFIG_DIR win over the platform's folders."""
    monkeypatch.setenv("CYBERCORP_DATA_DIR", str(tmp_path / "d"))
    monkeypatch.setenv("CYBERCORP_CONFIG_DIR", str(tmp_path / "c"))
    assert (data_dir(), config_dir()) == (tmp_path / "d", tmp_path / "c")


def test_private_files_are_private_and_whole(tmp_path: Path) -> None:
    """0600, in a 0700 folder, replaced whole, no temporary file left."""
    path = tmp_path / "inner" / "secret"
    write_private_file(path, "one")
    write_private_file(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file where the folder should be: the message names it and what to do."""
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(StorageUnwritableError, match=r"cannot be written.*--data-dir"):
        ensure_private_dir(blocker / "data")
