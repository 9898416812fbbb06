"""The page's messages, handled while a cell runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from .frontend import find_shell

#: What of ipykernel 6 is used. Some of it is private, and nothing is done where one of these is not there.
_USED = (
    "shell_stream", "msg_queue", "dispatch_shell", "shell_handlers", "session", "log", "set_parent", "get_parent",
    "_parent_ident", "_publish_status",
)  # fmt: skip


def find_pump() -> Callable[[], None] | None:
    """Return what handles the comm messages that wait, or None.

    ipykernel 6 handles what the page sends after the cell that runs; a cell of ours lets it in by calling this now
    and then. None on any other thread than the main one, and where the kernel is another: ipykernel 7 has subshells.
    """
    kernel = getattr(find_shell(), "kernel", None)
    if threading.current_thread() is not threading.main_thread() or any(
        getattr(kernel, name, None) is None for name in _USED
    ):
        return None
    return lambda: _let_in(kernel)


def _let_in(kernel: Any) -> None:
    """Handle the comm messages that wait; all others keep their order."""
    kernel.shell_stream.flush(1)  # zmq.POLLIN: into the queue
    queue, others, comms = kernel.msg_queue, [], []
    for _ in range(queue.qsize()):
        entry = queue.get_nowait()
        message = _read_comm(kernel, *entry[1:])
        others.append(entry) if message is None else comms.append(message)
    for entry in others:
        queue.put_nowait(entry)
    for idents, frames in comms:
        _handle(kernel, idents, frames)


def _read_comm(kernel: Any, dispatch: Any, arguments: tuple[Any, ...]) -> tuple[Any, Any] | None:
    """Return the parts of a comm message, None for any other."""
    if dispatch != kernel.dispatch_shell:
        return None
    try:
        idents, frames = kernel.session.feed_identities(arguments[0], copy=False)
        # Of frames signature, header, ...: not yet verified, which a message can be once only.
        kind = kernel.session.unpack(frames[1].bytes)["msg_type"]
    except Exception:  # noqa: BLE001 - the kernel will say what is wrong with it
        return None
    return (idents, frames) if kind in ("comm_open", "comm_msg", "comm_close") else None


def _handle(kernel: Any, idents: Any, frames: Any) -> None:
    """Handle a message as the kernel does, amid a cell."""
    before = kernel._parent_ident["shell"], kernel.get_parent("shell")
    try:
        message = kernel.session.deserialize(frames, content=True, copy=False)
        kernel.set_parent(idents, message, channel="shell")
        # The page holds back what comes next of a widget until this one is done.
        kernel._publish_status("busy", "shell")
        try:
            kernel.shell_handlers[message["header"]["msg_type"]](kernel.shell_stream, idents, message)
        finally:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
            kernel._publish_status("idle", "shell")
    except Exception:
        kernel.log.error("Exception in message handler:", exc_info=True)
    finally:
        kernel.set_parent(*before, channel="shell")
