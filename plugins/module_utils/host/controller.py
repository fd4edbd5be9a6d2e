# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Notice in a long module that its controller is gone, so that it does not go on for nobody."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import types
import typing as t

STDOUT = 1
INTERVAL = 1.0  # seconds


class ControllerLostError(BaseException):
    """The controller has closed the connection; no handler of ordinary errors may catch this."""


def is_reader_gone(descriptor: int, seconds: float = 0.0) -> bool:
    """Return whether nothing reads a pipe or socket any more; wait some seconds for that."""
    poll = select.poll()
    # Without requested events, only errors and the end of the other side are reported.
    poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _descriptor, events in poll.poll(seconds * 1000))


@contextlib.contextmanager
def end_with_controller(descriptor: int = STDOUT) -> t.Iterator[None]:
    """Raise ControllerLostError in the main thread when the connection on which the result is expected ends.

    A module on a host continues when its controller is killed, because its result is written only at the end.
    """
    done = threading.Event()
    received = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _raise) for number in received}

    def watch() -> None:
        while not done.is_set():
            if is_reader_gone(descriptor, INTERVAL):
                if not done.is_set():
                    os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, _frame: types.FrameType | None) -> None:
    raise ControllerLostError(f"the controller has ended the connection ({signal.Signals(number).name})")
