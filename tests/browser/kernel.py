"""A second client of a running kernel: evaluates expressions there and counts what it sends to the page."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import zmq
from jupyter_client.session import Session as Messages

from .server import PATIENCE


@dataclass
class Traffic:
    """What the kernel published while it was watched: (message type, comm, bytes of the whole message)."""

    messages: list[tuple[str, str, int]] = field(default_factory=list)

    def comm(self, comm_id: str | None = None) -> list[int]:
        """Return the sizes of the widget messages, of one widget or of all [bytes]."""
        return [
            size
            for kind, comm, size in self.messages
            if kind == "comm_msg" and (comm_id is None or comm == comm_id)
        ]


class Kernel:
    """Talks to the kernel with the addresses in `connection_file`; `close()` ends the talk, not the kernel.

    It shares no event loop with Playwright, whose synchronous interface keeps one running in this thread.
    """

    def __init__(self, connection_file: Path) -> None:
        self.addresses = json.loads(connection_file.read_text())
        self.messages = Messages(key=self.addresses["key"].encode())
        self.context = zmq.Context()
        self.shell = self._connect(zmq.DEALER, "shell_port")
        self.control = self._connect(zmq.DEALER, "control_port")
        self.subshell: str | None = None

    def _connect(self, kind: int, port: str) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.linger = 0
        socket.rcvhwm = socket.sndhwm = 0
        socket.connect(f"{self.addresses['transport']}://{self.addresses['ip']}:{self.addresses[port]}")
        return socket

    def evaluate(self, expression: str, *, busy: bool = False, timeout: float = PATIENCE) -> Any:
        """Return the value of a Python expression in the kernel, as JSON can carry it.

        With `busy` it is evaluated on a subshell, beside a running cell (ipykernel 7 and newer).
        """
        wanted = f"__import__('json').dumps({expression}, default=str)"
        request = self.messages.msg(
            "execute_request",
            {
                "code": "",
                "silent": True,
                "store_history": False,
                "user_expressions": {"value": wanted},
                "allow_stdin": False,
                "stop_on_error": False,
            },
        )
        if busy:
            request["header"]["subshell_id"] = self._subshell()
        content = self._ask(self.shell, request, timeout)
        value = content.get("user_expressions", {}).get("value", content)
        if value.get("status") != "ok":
            raise RuntimeError(f"{expression} in the kernel: {value.get('ename')}: {value.get('evalue')}")
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def execute(self, code: str, *, timeout: float = PATIENCE) -> None:
        """Run statements in the kernel, leaving no trace in the notebook."""
        content = {"code": code, "silent": True, "store_history": False, "allow_stdin": False}
        reply = self._ask(self.shell, self.messages.msg("execute_request", content), timeout)
        if reply["status"] != "ok":
            raise RuntimeError(f"{code} in the kernel: {reply.get('ename')}: {reply.get('evalue')}")

    def _subshell(self) -> str:
        if version("ipykernel").startswith("6."):
            pytest.skip("ipykernel 6 has no subshells: while a cell runs, its kernel answers nobody")
        if self.subshell is None:
            reply = self._ask_again(self.control, "create_subshell_request")
            if reply.get("status") != "ok":
                raise RuntimeError(
                    "This kernel has no subshells: while a cell runs, nothing can be evaluated."
                )
            self.subshell = reply["subshell_id"]
        return self.subshell

    def _ask_again(self, socket: zmq.Socket[bytes], kind: str) -> dict[str, Any]:
        """Ask until there is an answer: a kernel that the page asks for a subshell in the same moment drops one."""
        for attempt in range(6):
            with contextlib.suppress(TimeoutError):
                return self._ask(socket, self.messages.msg(kind, {}), 5 * (attempt + 1))
        raise TimeoutError(f"The kernel never answered a {kind}.")

    def _ask(self, socket: zmq.Socket[bytes], request: dict[str, Any], timeout: float) -> dict[str, Any]:
        self.messages.send(socket, request)
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            if not socket.poll(1000 * left):
                break
            _, reply = self.messages.recv(socket, mode=0)
            if reply["parent_header"].get("msg_id") == request["header"]["msg_id"]:
                return dict(reply["content"])
        raise TimeoutError(f"The kernel did not answer a {request['msg_type']} within {timeout:g} s.")

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Watch everything that the kernel publishes inside the block; the answer is complete after it."""
        listener = self._connect(zmq.SUB, "iopub_port")
        listener.subscribe(b"")
        traffic = Traffic()
        # A subscription takes effect some time after it is asked for: the first message that comes proves it.
        while not listener.poll(50):
            self.evaluate("0")
        while listener.poll(100):
            listener.recv_multipart()
        try:
            yield traffic
            # What the kernel said before this answer lies in the queue by the time its own status follows.
            marker = self.messages.msg("kernel_info_request", {})
            self._ask(self.shell, marker, PATIENCE)
            done = False
            while not done and listener.poll(5000):
                parts = listener.recv_multipart()
                _, rest = self.messages.feed_identities(parts)
                message = self.messages.deserialize(rest, content=True)
                done = message["parent_header"].get("msg_id") == marker["header"]["msg_id"]
                size = sum(len(part) for part in parts)
                comm = message["content"].get("comm_id", "")
                traffic.messages.append((message["header"]["msg_type"], comm, size))
        finally:
            listener.close()

    def close(self) -> None:
        """Let the sockets go."""
        self.context.destroy(linger=0)


@contextmanager
def stopped(desk: Any) -> Iterator[None]:
    """Stop the kernel's process inside the block: what is painted meanwhile, it has no part in."""
    pid = desk.kernel_eval("__import__('os').getpid()")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
