"""A module notices that nothing waits for its result."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest
from ansible_collections.vise.platform.plugins.module_utils.host import controller


def test_reader_of_a_pipe_is_gone_when_it_is_closed() -> None:
    read, write = os.pipe()
    assert not controller.is_reader_gone(write)
    os.close(read)
    assert controller.is_reader_gone(write)
    os.close(write)


def test_reader_of_a_socket_is_gone_when_it_is_closed() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        assert not controller.is_reader_gone(ours.fileno())
        theirs.close()
        assert controller.is_reader_gone(ours.fileno())


def test_work_ends_when_the_reader_is_gone() -> None:
    read, write = os.pipe()
    forever = threading.Event()
    with pytest.raises(controller.ControllerLostError, match="SIGTERM"), controller.end_with_controller(write):
        os.close(read)
        forever.wait(60)
    os.close(write)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_signal_ends_the_work_and_its_handler_is_removed(number: signal.Signals) -> None:
    read, write = os.pipe()
    before = signal.getsignal(number)
    with pytest.raises(controller.ControllerLostError), controller.end_with_controller(write):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    os.close(read)
    os.close(write)


def test_work_with_a_reader_goes_on() -> None:
    read, write = os.pipe()
    with controller.end_with_controller(write):
        assert not controller.is_reader_gone(write, 0.01)
    os.close(read)
    os.close(write)
