"""For every Python process whose path begins with this folder: sockets to nowhere but this machine, no name looked up.

What was tried is refused and written to the file that GATEHOUSE_TEST_EGRESS names. Native event loops open sockets that
Python does not see; for those there is the test in a network namespace.
"""

from __future__ import annotations

import os
import sys

NEAR = ("127.", "localhost", "::1", "0.0.0.0", "::")


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""  # anything else is a path
    else:
        return
    name = host.decode("latin-1") if isinstance(host, bytes) else host
    if not isinstance(name, str) or not name or name.startswith(NEAR):
        return
    with open(os.environ["GATEHOUSE_TEST_EGRESS"], "a") as file:
        file.write(f"{event} {name} by {sys.argv[0]}\n")
    raise PermissionError(f"{event} to {name}")


sys.addaudithook(refuse)
