"""View: a picture in the page that shows a session, or any one thing, and asks nothing of the training."""

from __future__ import annotations

import base64
import contextvars
import re
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets

from ..session import Session

if TYPE_CHECKING:
    from ipywidgets import Widget
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent
#: How long a page may take to say that it drew a picture before it is asked, and the longest such wait [s].
_PATIENCE, _LONGEST = 3.0, 60.0


def module(*names: str) -> str:
    """Return the text of one ES module: front.js and the named files, joined in order.

    Each anywidget evaluates its own copy of its module from a blob, where a relative import cannot be
    resolved. So the files, which import from one another for the type checker and the tests, are joined
    here with those lines taken out.
    """
    text = "\n".join((_HERE / name).read_text("utf-8") for name in ("front.js", *names))
    text = re.sub(r'^import\s[^;]*?from\s*"\./[^"]+";[ \t]*$', "", text, flags=re.MULTILINE)
    return re.sub(r"^export (?!default)", "", text, flags=re.MULTILINE)


def style(*names: str) -> str:
    """Return the text of one style sheet: front.css and the named files, joined in order."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in ("front.css", *names))


def answer_anywhere(widget: Widget) -> None:
    """Let the page's messages to `widget` be handled by any loop of the kernel that is free.

    ipykernel 7.4 hands a browser message to the loop that last published on the widget's comm. For one
    made in a cell that is the main thread, so that a slider is dead until the cell ends. Forgetting the
    last publisher sends its messages to the loop that the page chose (a subshell, where there is one).
    Kernels without the attribute need no cure.
    """
    if widget.comm is not None:
        vars(widget.comm).pop("_reply_subshell_id", None)


class Pictured:
    """Puts a static picture beside a widget, for places where no widget can be drawn.

    What has it defines `figure()`. GitHub, nbconvert and a notebook opened elsewhere show the picture.
    """

    def figure(self) -> Figure:
        """Return what the view shows now as a matplotlib Figure."""
        raise NotImplementedError

    def picture(self) -> Figure:
        """Return the Figure that is stored beside the widget: `figure()`, or a plainer one that is drawn faster."""
        return self.figure()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        from ..core.figures import png

        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        # No HTML: viewers without widgets prefer it to the picture.
        data.pop("text/html", None)
        try:
            data["image/png"] = base64.b64encode(png(self.picture())).decode()
        except Exception as error:  # noqa: BLE001 - a picture that fails must not keep the widget from showing
            data["text/plain"] = f"{type(self).__name__} (no static picture: {error})"
        return data, metadata


class View(Pictured, anywidget.AnyWidget):
    """Projects its source into synced traits, as often as the page keeps up and at most 10 times a second.

    The contract of a view (name.py, name.js):

    * ``watches`` names the session's traits that change the picture; ``project()`` returns the whole
      picture as ``{trait: value}``, never a difference, so that a view shown late, twice or after a reload
      is right. It may run on the training thread: it reads, computes little, and waits for nothing.
    * The kernel alone writes synced traits. The page sends messages: *hello* when it opens, *drawn* when it
      has painted a picture, *wish* when a person wants something. The next picture is sent only after the
      last is drawn: a closed, hidden or slow page costs nothing.
    * ``wish(name, value)`` receives what a person asked for; an exception's sentence is shown in the view.
    * ``close()`` lets everything go.
    """

    _css = style()
    watches: ClassVar[tuple[str, ...]] = ("pulse",)
    #: Here too for a view that refused its source before it got one, and is closed all the same.
    session: Session | None = None

    frame = traitlets.Int(0, help="number of the picture; the page repeats it once drawn").tag(sync=True)
    problem = traitlets.Unicode("", help="why the picture could not be made, one sentence").tag(sync=True)

    def __init__(self, session: Session | None = None, **traits: Any) -> None:
        self.session = session
        self._sending = threading.Lock()
        self._stale = False
        self._drawn: int | None = None  # None: no page has said hello
        self._sent_at = 0.0
        self._patience = _PATIENCE
        self._gap = 1.0
        super().__init__(**traits)
        self.on_msg(self._hear)
        self._show()
        if session is not None:
            session.observe(self._note, names=list(self.watches))

    # -- what a view defines

    def project(self) -> dict[str, Any]:
        """Return the whole picture of now as values of synced traits."""
        return {}

    def wish(self, name: str, value: Any) -> None:
        """Do what a person asked for in the page."""
        raise ValueError(f"{type(self).__name__} does not know what to do with {name!r}.")

    # -- kernel to page

    def refresh(self) -> None:
        """Note that the picture is out of date; send it now if the page waits for one. Any thread."""
        self._stale = True
        # Whoever finds another thread sending leaves the rest to it, so that training never waits here.
        while self._stale and self._may_send() and self._sending.acquire(blocking=False):
            try:
                self._stale = False
                self._show()
            finally:
                self._sending.release()

    def _may_send(self) -> bool:
        if self.comm is None:
            return False
        if self._drawn is not None and self._drawn >= self.frame:
            return True
        waited = time.monotonic() - self._sent_at
        # Older kernels hear the page only after the running cell. While that cell is one of our own
        # (fit, step), pictures go unasked, ever more rarely.
        if self._drawn is not None and self.session is not None and self.session.blocking and waited > self._gap:
            self._gap = min(2 * self._gap, _LONGEST)
            return True
        return False

    def _show(self) -> None:
        try:
            values, problem = self.project(), ""
        except Exception as error:  # noqa: BLE001 - shown in the view; the training that called goes on
            values, problem = {}, f"This view could not be drawn: {type(error).__name__}: {error}"
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)
            self.problem = problem
            self.frame += 1
        self._sent_at = time.monotonic()
        if self.comm is not None:
            answer_anywhere(self)
            if self._drawn is not None:
                _Watch.over(self)

    def _ask(self, now: float) -> bool:
        """Ask a silent page for a sign of life; return whether there is more to wait for."""
        if self.comm is None or self._drawn is None or self._drawn >= self.frame or self._patience > _LONGEST:
            return False
        if now - self._sent_at > self._patience:
            self._patience *= 2
            self.send({"ask": self.frame})
            answer_anywhere(self)
        return True

    # -- page to kernel

    def _hear(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if not isinstance(message, dict):
            return
        self._patience, self._gap = _PATIENCE, 1.0
        if "hello" in message:
            self._drawn = self.frame
            self.refresh()
        elif "drawn" in message:
            # An older number is an answer to a picture that a newer one has replaced.
            if message["drawn"] == self.frame or self._drawn is None:
                self._drawn = self.frame
            if self._stale:
                self.refresh()
        elif "wish" in message:
            try:
                self.wish(str(message["wish"]), message.get("value"))
            except Exception as error:  # noqa: BLE001 - the sentence goes back to the person who asked
                self.send({"refused": message["wish"], "because": str(error)})
                answer_anywhere(self)

    def _note(self, _change: Any) -> None:
        self.refresh()

    def close(self) -> None:
        """Stop following the session and remove the view from every page."""
        if self.session is not None:
            self.session.unobserve(self._note, names=list(self.watches))
            self.session = None
        super().close()


class _Watch:
    """One thread for all views, alive only while a page owes an answer: a message may be lost on the way."""

    _views: ClassVar[weakref.WeakSet[View]] = weakref.WeakSet()
    _lock = threading.Lock()
    _running = False

    @classmethod
    def over(cls, view: View) -> None:
        """Watch over `view` until its page has answered."""
        with cls._lock:
            cls._views.add(view)
            if not cls._running:
                cls._running = True
                # ipykernel 7.0 raises LookupError on a message from a thread without the cell's context.
                run = contextvars.copy_context().run
                threading.Thread(target=run, args=(cls._watch,), name="dlwidgets-watch", daemon=True).start()

    @classmethod
    def _watch(cls) -> None:
        while True:
            time.sleep(1.0)
            now = time.monotonic()
            with cls._lock:
                for view in list(cls._views):
                    try:
                        waiting = view._ask(now)
                    except Exception:  # noqa: BLE001 - a view closed meanwhile; the others are still watched
                        waiting = False
                    if not waiting:
                        cls._views.discard(view)
                if not cls._views:
                    cls._running = False
                    return
