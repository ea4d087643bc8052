"""`run_agent`: wire the agent's parts together and run until told to stop."""

from __future__ import annotations

import gc
import selectors
from pathlib import Path

from cybercorp.agent.enrolment import find_own_credential, join_when_possible
from cybercorp.agent.lock import StateLock
from cybercorp.agent.log import Log
from cybercorp.agent.runner import Runner
from cybercorp.agent.schedule import Schedule
from cybercorp.agent.settings import AgentSettings
from cybercorp.agent.spool import Spool
from cybercorp.agent.uplink import Uplink
from cybercorp.agent.wake import Wake, stopped_by_signals
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import UnauthenticatedError
from cybercorp.core.version import VERSION
from cybercorp.monitors.facts import read_facts
from cybercorp.monitors.processes import ProcessScanner
from cybercorp.monitors.sampler import Sampler
from cybercorp.security.credentials import AGENT_FILE, Credential, write_credential


def run_agent(settings: AgentSettings, *, wake: Wake | None = None) -> None:
    """Run the agent; returns after SIGTERM, SIGINT or `wake.stop()`.

    Raises ConflictError (`agent_running`) where another agent uses the state folder, NotFoundError (`not_enrolled`),
    SettingsError, StorageUnwritableError, and what joining raises.
    """
    settings.check()
    state_dir = settings.state_path()
    lock = StateLock(state_dir)
    own_wake = wake or Wake()
    log = Log(SystemClock())
    try:
        with stopped_by_signals(own_wake):
            _run(settings, state_dir, own_wake, log)
    finally:
        lock.release()
        if wake is None:
            own_wake.close()


def _run(settings: AgentSettings, state_dir: Path, wake: Wake, log: Log) -> None:
    credential = find_own_credential(settings, state_dir)
    may_join = settings.enrolment_token is not None
    if credential is None:
        credential = join_when_possible(settings, state_dir, wake, log)
        may_join = False
    while credential is not None:
        refused = _work(settings, state_dir, credential, wake, log, rejoin=may_join)
        if refused is None:
            return
        # The server of this host is gone, its data too perhaps: the enrolment token says that we are wanted.
        log.line("The server does not know this agent; it joins again.")
        credential = join_when_possible(settings, state_dir, wake, log)
        may_join = False


def _work(
    settings: AgentSettings, state_dir: Path, credential: Credential, wake: Wake, log: Log, *, rejoin: bool
) -> UnauthenticatedError | None:
    clock = SystemClock()
    log.line(f"The agent {VERSION} starts; state in {state_dir}, server {credential.url}.")
    facts = read_facts()
    spool = Spool(
        state_dir,
        max_bytes=settings.spool_max_bytes,
        clock=clock,
        report=lambda line: log.limited("spool", line),
        boot_id=facts.boot_id,
        key_source=settings.key_source,
    )
    selector = selectors.DefaultSelector()
    uplink = Uplink(
        credential,
        spool,
        selector,
        wake,
        clock,
        log,
        interval_ms=settings.interval_ms,
        read_facts=read_facts,
        timeout_s=settings.connect_timeout_s,
    )
    uplink.on_trust = lambda trusted: write_credential(state_dir / AGENT_FILE, trusted)
    sampler = Sampler(settings.monitors, clock)
    runner = Runner(
        settings,
        sampler=sampler,
        scanner=ProcessScanner(clock),
        schedule=Schedule(settings.interval_ms, clock),
        spool=spool,
        uplink=uplink,
        selector=selector,
        wake=wake,
        clock=clock,
        log=log,
        rejoin=rejoin,
    )
    # What start-up made lives as long as the process: the collector need not walk it again every few seconds.
    gc.collect()
    gc.freeze()
    try:
        return runner.run()
    finally:
        uplink.close()
        spool.close()
        sampler.close()
        selector.close()
        log.line("The agent stops.")
