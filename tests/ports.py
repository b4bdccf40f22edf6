"""A port for a process that starts in a moment, and keeps it when it is started again.

What the kernel hands out for port 0 it hands out again to the next process that asks, and to every outgoing connection;
between "free now" and "listening" somebody else had it. So these come from below its range, where nobody is sent.
"""

import random
import socket

BELOW_WHAT_THE_KERNEL_HANDS_OUT = range(20_000, 32_000)  # Linux hands out 32768 and above; macOS 49152 and above


def free_port(*, and_after: int = 0) -> int:
    """A port nobody listens on now, nor on the `and_after` ports that follow it."""
    for port in random.Random().sample(BELOW_WHAT_THE_KERNEL_HANDS_OUT, 200):
        if all(_is_free(one) for one in range(port, port + and_after + 1)):
            return port
    raise OSError(f"no free port between {BELOW_WHAT_THE_KERNEL_HANDS_OUT.start} and {BELOW_WHAT_THE_KERNEL_HANDS_OUT.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
