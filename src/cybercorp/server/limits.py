"""What the operating system allows this process: one open file for each agent and viewer."""

from __future__ import annotations

import logging
import sys

WANTED_FILES = 65_536
_LOG = logging.getLogger("cybercorp.server")


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as the hard one allows (getrlimit(2)); the usual 1,024 is too few.

    Returns the limit that holds now, 0 where the platform has none.
    """
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # macOS refuses more than kern.maxfilesperproc
        _LOG.warning("no more than %d files can be open at once: %s", soft, error)
        return soft
    return wanted
