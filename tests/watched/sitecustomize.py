"""Python imports this first where PYTHONPATH names its folder: it notes what a process reaches for.

To the file that LAB_TEST_LOG names, a line each: ``connect HOST`` or ``write PATH``. Kernels and
other processes that are started inherit both. https://docs.python.org/3/library/audit_events.html
"""

import os
import sys

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _note(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        line = f"connect {arguments[1][0]}"
    elif event == "socket.getaddrinfo" and arguments[0]:
        line = f"connect {arguments[0]}"
    elif event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & _WRITES:
        line = f"write {os.path.abspath(os.fsdecode(arguments[0]))}"  # noqa: PTH100 - no links
    elif event == "sqlite3.connect":
        line = f"write {arguments[0]}"
    else:
        return
    os.write(_LOG, f"{line}\n".encode())


if "LAB_TEST_LOG" in os.environ:
    _LOG = os.open(os.environ["LAB_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.addaudithook(_note)
