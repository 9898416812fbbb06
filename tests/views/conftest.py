"""What the tests of views share: a wire that keeps every message, and pages at its other end; no kernel."""

from __future__ import annotations

import copy
import json
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import comm
import pytest
from comm.base_comm import BaseComm
from ipywidgets import Widget
from ipywidgets.widgets.widget import _put_buffers

from dlwidgets.views import view as view_module


@dataclass
class Message:
    """One message from the kernel: the widget's model id, the message's type, its data and its buffers."""

    model_id: str
    kind: str
    data: dict[str, Any]
    buffers: list[Any]
    thread: str
    at: float = field(default_factory=time.perf_counter)

    @property
    def state(self) -> dict[str, Any]:
        """The traits that the message carries, bytes among them; empty where it carries none."""
        state = copy.deepcopy(self.data.get("state", {}))
        _put_buffers(state, self.data.get("buffer_paths", []), [bytes(buffer) for buffer in self.buffers])
        return state

    @property
    def custom(self) -> Any:
        """The content of a custom message, or None."""
        return self.data.get("content") if self.data.get("method") == "custom" else None

    @property
    def size(self) -> int:
        """Bytes of the message, about."""
        return len(json.dumps(self.data)) + sum(memoryview(buffer).nbytes for buffer in self.buffers)


class Wire:
    """Every message that widgets sent, in order, from any thread; and the pages that listen."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.pages: list[Page] = []
        self._lock = threading.Lock()

    def put(self, message: Message) -> None:
        with self._lock:
            self.messages.append(message)
        for page in list(self.pages):
            page.arrive(message)

    def of(self, widget: Widget | str) -> list[Message]:
        """Return what a widget has sent."""
        model_id = widget if isinstance(widget, str) else widget.model_id
        return [message for message in self.messages if message.model_id == model_id]

    def pictures(self, widget: Widget) -> list[Message]:
        """Return the pictures that a view has sent since its comm was opened."""
        return [
            message for message in self.of(widget) if message.kind == "comm_msg" and "frame" in message.state
        ]

    def customs(self, widget: Widget) -> list[Any]:
        """Return the custom messages that a view has sent."""
        return [message.custom for message in self.of(widget) if message.custom is not None]


class Page:
    """A page open on one view: it keeps the state as a browser does, and answers when it is told to.

    With `eager` it draws and acknowledges every picture at once. `losing` says how many of the next messages
    to it get lost on the way.
    """

    def __init__(self, wire: Wire, view: Widget, *, eager: bool = False) -> None:
        self.wire, self.view, self.eager, self.losing = wire, view, eager, 0
        self.model_id = view.model_id
        # What JupyterLab asks of the kernel when a page opens.
        self.state = copy.deepcopy(view.get_state())
        self.seen = self.state["frame"]
        self.missed = False
        self.arrived: list[Message] = []
        wire.pages.append(self)
        self.say(hello=0)

    def arrive(self, message: Message) -> None:
        if message.model_id != self.model_id or message.kind != "comm_msg":
            return
        if self.losing:
            self.losing -= 1
            return
        self.arrived.append(message)
        if message.custom is not None:
            if self.eager and "ask" in message.custom:
                self.greet()
            return
        state = message.state
        self.state.update(state)
        if "frame" in state:
            if state["frame"] != self.seen + 1:
                self.missed = True
            self.seen = state["frame"]
            if self.eager:
                self.draw()

    def say(self, **message: Any) -> None:
        """Send a custom message to the view."""
        self.say_anything(message)

    def say_anything(self, content: Any, method: str = "custom") -> None:
        """Send what no page of ours would."""
        if self.view.comm is not None:
            self.view.comm.handle_msg(
                {"content": {"data": {"method": method, "content": content}}, "buffers": []}
            )

    def greet(self) -> None:
        """Say hello again, as when the view scrolls into sight or the kernel asks."""
        missed, self.missed = self.missed, False
        self.say(hello=0 if missed else self.seen)

    def draw(self) -> None:
        """Acknowledge the newest picture; ask for a whole one where one is missing."""
        if self.missed:
            self.greet()
        else:
            self.say(drawn=self.seen)

    def close(self) -> None:
        """Shut the page: it hears nothing more and says nothing."""
        self.wire.pages.remove(self)


@pytest.fixture
def wire(monkeypatch) -> Wire:
    """A wire that every widget made in the test sends on."""
    wire = Wire()

    class Recorded(BaseComm):
        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            # As the kernel does: what is no JSON is an error here, in the thread that sends.
            json.dumps(data, allow_nan=False)
            thread = threading.current_thread().name
            wire.put(Message(self.comm_id, msg_type, copy.deepcopy(data or {}), list(buffers or []), thread))

    monkeypatch.setattr(comm, "create_comm", lambda *args, **options: Recorded(*args, **options))
    yield wire
    wire.pages.clear()
    # The watch ends at its next round; nobody waits for it.
    view_module._Reminder._views.clear()


@pytest.fixture
def open_page(wire):
    """Open a page on a view: `open_page(view, eager=True)`."""
    return lambda view, **options: Page(wire, view, **options)


@pytest.fixture
def quick_time(monkeypatch) -> SimpleNamespace:
    """A clock for the view's waiting: whoever sleeps on it moves it on, so that minutes pass in moments."""
    clock = SimpleNamespace(now=1000.0)
    nap = time.sleep

    def sleep(seconds: float) -> None:
        nap(0.0005)
        clock.now += seconds

    clock.sleep, clock.monotonic = sleep, lambda: clock.now
    monkeypatch.setattr(view_module, "time", clock)
    return clock
