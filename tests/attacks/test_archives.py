"""Files that somebody hands us to open: no name in a backup or a recording leads out of the folder it is opened in."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import stat
import zipfile
from pathlib import Path

import msgspec
import pytest

from cybercorp.core.errors import CyberCorpError, MalformedMessageError
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.recordings import Manifest, RecordedHost
from cybercorp.server.unpacking import unpack_recording
from cybercorp.store.backups.archive import Archive, write_archive
from tests.contract.test_backups import Place, populate
from tests.unit.server.test_unpacking import Open, databases, empty, written
from tests.unit.store.building import START_MS

__all__ = ["databases", "empty"]
NAMES = (
    "../../evil",
    "/evil",
    "..\\..\\evil",
    "C:\\evil",
    "records/../../evil",
    "records/hosts.ndjson/../../../evil",
    "\\\\server\\share\\evil",
    "samples/../../../../../../../../tmp/evil",
)


def _nothing(done: int, expected: int) -> None:
    assert 0 <= done <= expected


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "data").mkdir()
    place, path = Place(folder / "data"), folder / "good.zip"
    asyncio.run(populate(place))
    with contextlib.closing(place.source()) as source:
        write_archive(path, source, "here", START_MS, _nothing)
    return path


def tree(folder: Path) -> dict[str, str]:
    """Every file below with its content's digest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("link", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["file", "link"])
@pytest.mark.parametrize("name", [*NAMES[:2], *(pytest.param(one, marks=pytest.mark.slow) for one in NAMES[2:])])
def test_a_backup_writes_nowhere_else(backup: Path, tmp_path: Path, name: str, link: bool) -> None:
    """Members with hostile names, or that are links, are no part of a backup: what is restored lies in its folder."""
    hostile, target = tmp_path / "a" / "b" / "hostile.zip", tmp_path / "a" / "b" / "data"
    target.mkdir(parents=True)
    hostile.write_bytes(backup.read_bytes())
    info = zipfile.ZipInfo(name)
    info.external_attr = ((stat.S_IFLNK if link else stat.S_IFREG) | 0o777) << 16
    with zipfile.ZipFile(hostile, "a") as file:
        file.writestr(info, b"/etc/passwd")
    before = tree(tmp_path)
    with contextlib.suppress(CyberCorpError), Archive(hostile) as archive:
        archive.verify(_nothing)
        Place(target).restore(archive, _nothing)
    made = tree(tmp_path).keys() - before.keys()
    assert all(one.startswith("a/b/data/") for one in made), made
    assert not any("evil" in one for one in made)
    assert {one: digest for one, digest in tree(tmp_path).items() if one in before} == before
    assert not Path("/tmp/evil").exists()


def test_a_manifest_chooses_no_files(backup: Path, tmp_path: Path) -> None:
    """The names it lists are compared, never opened: a manifest with one more is refused before anything is made."""
    hostile, target = tmp_path / "hostile.zip", tmp_path / "data"
    target.mkdir()
    with zipfile.ZipFile(backup) as old, zipfile.ZipFile(hostile, "w") as new:
        manifest = msgspec.json.decode(old.read("manifest.json"))
        manifest["members"]["../evil"] = {"size_bytes": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
        for one in old.infolist():
            new.writestr(one, msgspec.json.encode(manifest) if one.filename == "manifest.json" else old.read(one))
        new.writestr("../evil", b"evil")
    with contextlib.suppress(CyberCorpError), Archive(hostile) as archive:
        archive.verify(_nothing)
        Place(target).restore(archive, _nothing)
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("name", ["../../evil", "/evil", "a/b", "..", "a\\b", "evil\x00", "a\nb"])
async def test_a_recording_names_no_file(databases: Open, tmp_path: Path, name: str) -> None:
    """A host's name is no path: whether the recording is refused or not, nothing lies beside its databases."""
    records, store = databases
    manifest = Manifest(made_by="x", made_at_ms=1, since_ms=0, until_ms=10, lead_ms=0, hosts=1)
    host = RecordedHost(number=1, id=name, name=name, labels={name: name}, facts=HostFacts(), joined_at_ms=1)
    path = written(tmp_path / "f", manifest, host, rows=0, samples=0, tables=0, events=0)
    before = tree(tmp_path.parent).keys()
    with contextlib.suppress(MalformedMessageError):
        await unpack_recording(path, records, store, lambda share: None)
    assert tree(tmp_path.parent).keys() == before
