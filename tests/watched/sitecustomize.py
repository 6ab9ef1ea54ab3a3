"""Python imports this first where PYTHONPATH names its folder: it notes what a process reaches for.

To the file that LAB_TEST_LOG names, a line each: ``connect HOST`` or ``write PATH``. What is not on
this machine is refused, too, as without a network. Kernels and other processes that are started
inherit both. https://docs.python.org/3/library/audit_events.html
"""

import errno
import ipaddress
import os
import sys

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _here(host: str) -> bool:
    if host in ("localhost", "0.0.0.0"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _note(event: str, arguments: tuple) -> None:
    host = None
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        line = f"connect {host}"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0]:
        host = os.fsdecode(arguments[0])
        line = f"connect {host}"
    elif event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & _WRITES:
        line = f"write {os.path.abspath(os.fsdecode(arguments[0]))}"  # noqa: PTH100 - no links
    elif event == "sqlite3.connect":
        line = f"write {arguments[0]}"
    else:
        return
    os.write(_LOG, f"{line}\n".encode())
    if host is not None and not _here(host):
        raise OSError(errno.ENETUNREACH, f"the test keeps {host} out of reach")


if "LAB_TEST_LOG" in os.environ:
    _LOG = os.open(os.environ["LAB_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    sys.addaudithook(_note)
