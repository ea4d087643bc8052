"""Facts of this machine and of made ones."""

import os
import platform
from pathlib import Path

import pytest

from cybercorp.core.version import VERSION
from cybercorp.monitors.facts import read_facts
from cybercorp.monitors.linux_facts import cpu_model, linux_facts, memory_bytes, os_description, virtualization
from cybercorp.monitors.portable_facts import portable_facts
from cybercorp.protocol.hosts import HostFacts


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_facts_of_this_machine() -> None:
    """They agree with what the standard library knows."""
    facts = read_facts()
    assert facts.hostname == os.uname().nodename
    assert facts.os_type == "linux"
    assert facts.kernel == platform.release()
    assert facts.cpu_count == os.cpu_count()
    assert facts.memory_bytes == pytest.approx(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), rel=0.01)
    assert facts.boot_time_ms > 0
    assert len(facts.boot_id) == 36
    assert facts.agent_version == VERSION


def test_a_machine_that_tells_nothing_has_empty_facts(tmp_path: Path) -> None:
    """Nothing is raised and nothing made up."""
    facts = linux_facts(str(tmp_path))
    assert (facts.os_description, facts.model, facts.cpu_model, facts.boot_id) == ("", "", "", "")
    assert (facts.memory_bytes, facts.boot_time_ms) == (0, 0)


def test_a_laptop(tmp_path: Path) -> None:
    """Model, processor and zone as its files name them."""
    put(tmp_path, "sys/class/dmi/id/sys_vendor", "LENOVO\n")
    put(tmp_path, "sys/class/dmi/id/product_name", "LENOVO ThinkPad\n")
    put(tmp_path, "etc/os-release", 'NAME=X\nPRETTY_NAME="Some Linux 12"\n')
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nmodel name\t: Some(R)  CPU @ 2GHz\nflags\t: fpu vme\n")
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    facts = linux_facts(str(tmp_path))
    assert (facts.model, facts.cpu_model) == ("LENOVO ThinkPad", "Some(R) CPU @ 2GHz")
    assert (facts.os_description, facts.timezone, facts.virtualization) == ("Some Linux 12", "Europe/Berlin", "")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"run/systemd/container": "lxc\n"}, "lxc"),
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"proc/sys/kernel/osrelease": "5.15.1-microsoft-standard-WSL2\n"}, "wsl"),
        ({"sys/hypervisor/type": "xen\n"}, "xen"),
        ({}, ""),
    ],
)
def test_what_a_system_runs_in(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    """Containers leave their marks in files."""
    for name, text in files.items():
        put(tmp_path, name, text)
    assert virtualization(tmp_path, "", "flags : fpu\n") == expected


def test_virtual_machines_are_known_by_their_model_or_a_flag(tmp_path: Path) -> None:
    """A hypervisor that hides its name still sets the processor's flag."""
    assert virtualization(tmp_path, "QEMU Standard PC", "") == "kvm"
    assert virtualization(tmp_path, "VMware, Inc. VMware7,1", "") == "vmware"
    assert virtualization(tmp_path, "", "flags : fpu hypervisor lm\n") == "vm"


def test_texts_in_other_words() -> None:
    """ARM and RISC-V processors, systems without a pretty name, memory that is not told."""
    assert cpu_model("processor : 0\nBogoMIPS : 108.00\nModel : Raspberry Pi 5 Model B\n") == "Raspberry Pi 5 Model B"
    assert cpu_model("processor\t: 0\nhart\t: 1\nuarch\t: sifive,u74\n") == "sifive,u74"
    assert cpu_model("") == ""
    assert os_description("NAME='x'\nVERSION_ID=3\n# PRETTY_NAME=no\ngarbage") == "'x' 3"
    assert memory_bytes("MemTotal:       24684084 kB\n") == 24684084 * 1024
    assert memory_bytes("") == 0


def test_hostile_facts_are_cut_and_can_be_sent(tmp_path: Path) -> None:
    """A vendor string of a megabyte, or of bytes that are no text."""
    put(tmp_path, "sys/class/dmi/id/sys_vendor", "x" * 1_000_000)
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_bytes(b"\xff\xfe")
    facts = linux_facts(str(tmp_path))
    assert len(facts.model) == 200
    facts.boot_id.encode("utf-8")


def test_other_systems_tell_through_psutil() -> None:
    """The same facts where psutil has them."""
    facts = portable_facts()
    assert isinstance(facts, HostFacts)
    assert facts.memory_bytes == read_facts().memory_bytes
    assert facts.boot_time_ms == pytest.approx(read_facts().boot_time_ms, abs=2000)
    assert set(facts.addresses) == set(read_facts().addresses)
