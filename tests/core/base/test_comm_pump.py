"""Comm messages let into a cell, in the queue of ipykernel 6: real messages and sockets."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from types import SimpleNamespace

import pytest
import zmq
from jupyter_client.session import Session
from tornado.queues import Queue
from zmq.eventloop.zmqstream import ZMQStream

from dlwidgets.core.base.comm_pump import find_pump


class Kernel:
    """What ipykernel 6.17 to 6.31 do with a message on the shell, as far as a cell that runs goes."""

    def __init__(self) -> None:
        context = zmq.Context.instance()
        self.page, self.socket = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        self.page.bind(address := f"inproc://comm-pump-{id(self)}")
        self.socket.connect(address)
        self.session, self.sender = Session(key=b"k"), Session(key=b"k")
        self.shell_stream, self.msg_queue = ZMQStream(self.socket), Queue()
        self.shell_stream.on_recv(self.schedule, copy=False)
        self.shell_handlers = {"comm_msg": self.handle}
        self.log, self.heard, self.told = logging.getLogger("kernel"), [], []
        self._parent_ident, self._parents = {"shell": [b"cell"]}, {"shell": {"header": {"msg_id": "the cell"}}}

    def schedule(self, message):
        self.msg_queue.put_nowait((0, self.dispatch_shell, (message,)))

    async def dispatch_shell(self, message):
        raise AssertionError("after the cell")

    def get_parent(self, channel):
        return self._parents[channel]

    def set_parent(self, ident, parent, channel):
        self._parent_ident[channel], self._parents[channel] = ident, parent

    def _publish_status(self, status, channel):
        self.told.append((self.get_parent(channel)["header"]["msg_id"], status))

    def handle(self, stream, ident, message):
        assert self.get_parent("shell") is message
        self.heard.append(message["content"]["data"])
        if message["content"]["data"] == "wrong":
            raise ZeroDivisionError

    def send(self, kind, content):
        return self.sender.send(self.page, kind, content, ident=[])["header"]["msg_id"]

    def waiting(self):
        """Return the codes of the cells that wait, in order."""
        messages = [self.msg_queue.get_nowait()[2][0] for _ in range(self.msg_queue.qsize())]
        read = [self.session.deserialize(self.session.feed_identities(m, copy=False)[1], copy=False) for m in messages]
        return [message["content"]["code"] for message in read]


@pytest.fixture
def kernel(monkeypatch):
    """A kernel of that kind, in whose cell the test runs."""

    async def make():
        return Kernel()

    loop = asyncio.new_event_loop()
    kernel = loop.run_until_complete(make())
    shell = SimpleNamespace(kernel=kernel)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    yield kernel
    kernel.shell_stream.close()
    kernel.page.close()
    loop.close()


def test_comm_messages_are_handled_and_cells_keep_their_order(kernel):
    kernel.send("execute_request", {"code": "1"})
    first = kernel.send("comm_msg", {"comm_id": "c", "data": "a"})
    kernel.send("execute_request", {"code": "2"})
    second = kernel.send("comm_msg", {"comm_id": "c", "data": "b"})
    pump = find_pump()
    pump()
    pump()
    assert kernel.heard == ["a", "b"]
    assert kernel.told == [(first, "busy"), (first, "idle"), (second, "busy"), (second, "idle")]
    assert kernel.get_parent("shell")["header"]["msg_id"] == "the cell" and kernel._parent_ident["shell"] == [b"cell"]
    assert kernel.waiting() == ["1", "2"]


def test_a_handler_that_raises_stops_neither_the_cell_nor_the_next_message(kernel, caplog):
    for data in ("wrong", "right"):
        kernel.send("comm_msg", {"comm_id": "c", "data": data})
    find_pump()()
    assert kernel.heard == ["wrong", "right"] and "ZeroDivisionError" in caplog.text
    assert [status for _, status in kernel.told] == ["busy", "idle"] * 2


def test_what_nobody_signed_is_left_to_the_kernel(kernel):
    kernel.sender = Session(key=b"another")
    kernel.send("comm_msg", {"comm_id": "c", "data": "a"})
    find_pump()()
    assert not kernel.heard


def test_no_other_thread_and_no_other_kernel_is_pumped(kernel, monkeypatch):
    found = []
    asks = threading.Thread(target=lambda: found.append(find_pump()))
    asks.start()
    asks.join()
    monkeypatch.delattr(kernel, "_parent_ident")
    assert found == [None] and find_pump() is None
