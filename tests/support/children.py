"""Work in a forked process."""

import os


def in_child(work) -> int:
    """Runs `work` in a forked process; returns what it returns, or minus the signal that killed it."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
