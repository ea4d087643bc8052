"""The fault proxy does what it says; a fault test on a tool that is broken proves nothing."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(one,), daemon=True).start()

    def answer(one: socket.socket) -> None:
        with one:
            try:
                while data := one.recv(65536):
                    one.sendall(data)
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def test_bytes_pass_unchanged(echo_port: int) -> None:
    """Without a fault the proxy is not noticed."""
    with FaultProxy(echo_port) as proxy, _connect(proxy) as one:
        one.sendall(b"x" * 100_000)
        got = b""
        while len(got) < 100_000:
            got += one.recv(65536)
        assert got == b"x" * 100_000
        assert proxy.bytes_passed == 200_000


def test_latency_is_added_both_ways(echo_port: int) -> None:
    """A round trip takes at least twice the latency."""
    with FaultProxy(echo_port) as proxy, _connect(proxy) as one:
        proxy.latency_s = 0.05
        start = time.monotonic()
        one.sendall(b"x")
        assert one.recv(1) == b"x"
        assert time.monotonic() - start >= 0.1


def test_a_blackhole_swallows_and_stays_open(echo_port: int) -> None:
    """Nothing comes, nothing is closed."""
    with FaultProxy(echo_port) as proxy, _connect(proxy) as one:
        proxy.blackhole = True
        one.sendall(b"x")
        one.settimeout(0.1)
        with pytest.raises(TimeoutError):
            one.recv(1)


def test_a_cut_resets_what_is_open_and_lets_new_ones_in(echo_port: int) -> None:
    """Old connections die with a reset, the next one works."""
    with FaultProxy(echo_port) as proxy:
        with _connect(proxy) as one:
            one.sendall(b"x")
            assert one.recv(1) == b"x"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                one.recv(1)
        with _connect(proxy) as two:
            two.sendall(b"y")
            assert two.recv(1) == b"y"


def test_refusing_resets_every_newcomer(echo_port: int) -> None:
    """A connection is accepted and reset."""
    with FaultProxy(echo_port) as proxy:
        proxy.refusing = True
        with pytest.raises(ConnectionResetError), _connect(proxy) as one:  # while connecting or right after
            one.recv(1)
