"""What rarely changes about this machine: system, kernel, model, processor, memory, addresses.

Read when the agent starts and connects.
"""

from __future__ import annotations

import sys

from cybercorp.protocol.hosts import HostFacts

if sys.platform == "linux":
    from cybercorp.monitors.linux_facts import linux_facts as machine_facts
else:
    from cybercorp.monitors.portable_facts import portable_facts as machine_facts


def read_facts() -> HostFacts:
    """The facts of this machine; what cannot be found out is empty."""
    return machine_facts()
