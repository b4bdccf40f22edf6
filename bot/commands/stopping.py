"""SIGTERM and Ctrl-C, whichever thread the system hands them to."""

import signal
import socket
from collections.abc import Callable

STOPS = (signal.SIGTERM, signal.SIGINT)


def asked_to_stop() -> Callable[[], None]:
    """Note SIGTERM and SIGINT from now on; the function that is given returns once one has come. From the main thread only.

    Python runs a handler in the main thread, when that thread runs. A thread that waits for a lock or an event does not
    while the kernel has another one take the signal, as it may on a busy machine: the process would go on until it is
    killed. What is read here is written by whichever thread takes it.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for number in STOPS:
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        with reader, writer:
            while reader.recv(1)[0] not in STOPS:
                pass
            signal.set_wakeup_fd(-1)

    return wait
