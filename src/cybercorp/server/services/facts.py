"""Facts that a host says of itself, cut to sizes that a database and a screen can bear."""

from __future__ import annotations

from cybercorp.protocol.hosts import HostFacts

MAX_TEXT = 256
MAX_ADDRESSES = 64


def bounded_facts(facts: HostFacts) -> HostFacts:
    """The same facts with every text at most 256 characters long."""

    def text(value: str) -> str:
        return value[:MAX_TEXT]

    return HostFacts(
        hostname=text(facts.hostname),
        os_type=text(facts.os_type),
        os_description=text(facts.os_description),
        kernel=text(facts.kernel),
        arch=text(facts.arch),
        model=text(facts.model),
        cpu_model=text(facts.cpu_model),
        cpu_count=_bounded(facts.cpu_count),
        memory_bytes=_bounded(facts.memory_bytes),
        boot_time_ms=_bounded(facts.boot_time_ms),
        boot_id=text(facts.boot_id),
        addresses=[text(one) for one in facts.addresses[:MAX_ADDRESSES]],
        virtualization=text(facts.virtualization),
        agent_version=text(facts.agent_version),
        timezone=text(facts.timezone),
    )


def _bounded(number: int) -> int:
    return max(0, min(number, 1 << 62))
