"""A port for a process that starts in a moment, and keeps it when it is started again.

What the kernel hands out for port 0 it hands out again to the next process that asks, and to every outgoing connection;
between "free now" and "listening" somebody else had it. So these come from below its range, where nobody is sent.
"""

import random
import socket

BELOW_WHAT_THE_KERNEL_HANDS_OUT = range(20_000, 32_000)  # Linux hands out 32768 and above; macOS 49152 and above


def free_port(*, and_after: int = 0) -> int:
    """A port nobody listens on now, nor on the `and_after` ports that follow it."""
    with listening(and_after=and_after) as one:
        port: int = one.getsockname()[1]
    return port


def listening(*, and_after: int = 0) -> socket.socket:
    """Somebody who listens on a port, with nobody on the `and_after` ports that follow it. It is closed by who asked."""
    for port in random.Random().sample(BELOW_WHAT_THE_KERNEL_HANDS_OUT, 200):
        if (one := _taken(port)) is None:
            continue
        if all(_is_free(after) for after in range(port + 1, port + and_after + 1)):
            return one
        one.close()
    raise OSError(f"no free port between {BELOW_WHAT_THE_KERNEL_HANDS_OUT.start} and {BELOW_WHAT_THE_KERNEL_HANDS_OUT.stop}")


def _taken(port: int) -> socket.socket | None:
    """The port, taken; None where somebody else has it. What is over there but still waits to be forgotten is no one."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("127.0.0.1", port))
        one.listen()
    except OSError:
        one.close()
        return None
    return one


def _is_free(port: int) -> bool:
    if (one := _taken(port)) is None:
        return False
    one.close()
    return True
