"""The mount table parsed, and the mounts that are worth watching."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.mounts import Mount, choose_mounts, parse_mounts
from cybercorp.monitors.settings import PSEUDO_FILESYSTEMS


@pytest.fixture
def laptop(recorded: Callable[[str], bytes]) -> list[Mount]:
    return parse_mounts(recorded("mountinfo_laptop"))


def test_names_are_unescaped_and_garbage_is_passed_over(laptop: list[Mount]) -> None:
    """Blanks, newlines and backslashes in names are what they are on the disk."""
    assert len(laptop) == 17
    assert laptop[9].mountpoint == b"/mnt/my disk\\new\nline"
    assert laptop[10].device == b"filer:/export one"
    assert laptop[4].type == "tmpfs"


def test_what_df_would_list(laptop: list[Mount]) -> None:
    """No pseudo filesystem, no image, no bind mount, nothing hidden; what may never answer comes last."""
    chosen = choose_mounts(laptop, PSEUDO_FILESYSTEMS, ())
    assert [one.mountpoint for one in chosen] == [
        b"/", b"/boot/efi", b"/mnt/my disk\\new\nline", b"/mnt/ntfs", b"/mnt/old", b"/run",
        b"/home/me/sshfs", b"/mnt/nfs",
    ]  # fmt: skip
    assert [one.remote for one in chosen] == [False] * 6 + [True] * 2
    assert [one.type for one in chosen if one.mountpoint == b"/mnt/old"] == ["xfs"]


def test_an_overlay_is_kept_as_the_root_of_a_container() -> None:
    """Inside a container the overlay is the only disk there is."""
    mounts = parse_mounts(b"1 0 0:9 / / rw - overlay overlay rw\n2 1 0:10 / /x rw - overlay overlay rw\n")
    assert [one.mountpoint for one in choose_mounts(mounts, PSEUDO_FILESYSTEMS, ())] == [b"/"]


def test_a_person_can_leave_out_mountpoints(laptop: list[Mount]) -> None:
    """Globs over the path."""
    chosen = choose_mounts(laptop, PSEUDO_FILESYSTEMS, ("/mnt/*", "/run"))
    assert [one.mountpoint for one in chosen] == [b"/", b"/boot/efi", b"/home/me/sshfs"]


@given(st.binary(max_size=300))
def test_no_text_breaks_the_parser(text: bytes) -> None:
    """A line that is no mount is passed over."""
    good = b"1 0 8:1 / /good rw - ext4 /dev/sda1 rw\n"
    assert parse_mounts(good + text)[0].mountpoint == b"/good"
    choose_mounts(parse_mounts(text), PSEUDO_FILESYSTEMS, ("*x",))
