"""View: a picture in the page of a session, or any thing."""

from __future__ import annotations

import base64
import contextlib
import gzip
import itertools
import json
import re
import sys
import threading
import time
import uuid
import weakref
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets
from ipywidgets import VBox, Widget

from ..core.base.frontend import in_notebook
from ..core.base.words import check_options
from ..session import Session
from .cells import renew_soon, show
from .hosts import shows_threads, start_where_shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HERE = Path(__file__).parent
#: A line that imports from another file of ours, what is called or, for the type checker alone, types.
_IMPORT = re.compile(r'^(?:import\s[^;]*?from\s*"(\.[^"]+)";|/\*\* @import .*\*/)[ \t]*$', re.MULTILINE)
#: Comments on lines of their own, those on types wherever they stand, and indentation.
_NEEDLESS = re.compile(
    r"^[ \t]*(?:/\*\*(?!/)(?:[^*]|\*(?!/))*\*/|//[^\n]*)[ \t]*\n|/\*\* @(?:[^*]|\*(?!/))*\*/ ?|^[ \t]+", re.MULTILINE
)
#: A module that unpacks another and shows what that does, in its style. It is there at once: anywidget gives a widget
#: 2 s to begin, and one that takes longer is deaf to its kernel for good. Marimo has a root of its own for each widget.
_UNPACKING = """const view = (async () => {{
    const bytes = Uint8Array.from(atob("{}"), (sign) => sign.charCodeAt(0));
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const address = URL.createObjectURL(new Blob([await new Response(unpacked).text()], {{ type: "text/javascript" }}));
    return import(address).finally(() => URL.revokeObjectURL(address));
}})();
export default {{ render: async (context) => {{
    const {{ default: shown, css }} = await view, root = context.el.getRootNode();
    const place = root instanceof ShadowRoot ? root : document.head;
    if (css && !place.querySelector('style[data-dlw="{}"]')) {{
        const sheet = place.appendChild(document.createElement("style"));
        sheet.dataset.dlw = "{}";
        sheet.textContent = css;
    }}
    return shown.render(context);
}} }};
"""
#: How long a page may take to say that it drew a picture before it is asked, and the longest such wait [s].
_PATIENCE, _LONGEST = 3.0, 60.0
#: Sets the views of this process apart from those of other kernels in a page, and counts them.
_PROCESS, _NUMBERS = uuid.uuid4().hex[:12], itertools.count(1)


def module(place: str | Path) -> str:
    """Join a folder's `view.js`, or a file, and all it imports.

    Each anywidget evaluates its own copy of its module from a blob, where a relative import cannot be
    resolved: the files are joined in the order of their `import` lines, with those lines taken out.
    """
    texts: dict[Path, str] = {}

    def visit(file: Path) -> None:
        if file not in texts:
            text = file.read_text("utf-8")
            for source in filter(None, _IMPORT.findall(text)):
                visit((file.parent / source).resolve())
            texts[file] = _IMPORT.sub("", text)

    start = _HERE / place
    visit((start / "view.js" if start.is_dir() else start).resolve())
    return re.sub(r"^export (?!default)", "", "\n".join(texts.values()), flags=re.MULTILINE)


@cache
def compress(text: str, css: str = "") -> str:
    """Compress a module and its style into a module that unpacks itself.

    Every widget carries both, to the page and into a notebook that is saved with widget state: those of
    one dashboard take 1 MB as they are, and a quarter of that compressed.
    """
    text, css = _NEEDLESS.sub("", text), squeeze(css)
    packed = gzip.compress((f"{text}\nexport const css = {json.dumps(css)};\n" if css else text).encode(), mtime=0)
    name = f"{zlib.crc32(css.encode()):x}"
    return _UNPACKING.format(base64.b64encode(packed).decode(), name, name)


@cache
def squeeze(text: str) -> str:
    """Take comments, line breaks and needless spaces out of a style sheet."""
    text = re.sub(r"/\*[\s\S]*?\*/|\s+", " ", text)
    return re.sub(r" ?([{};,]) ?| {2,}", lambda found: found[1] or " ", text)


def style(*names: str | Path) -> str:
    """Join front.css and the style sheets of folders, `view.css` first, or files."""
    files = [_HERE / "front.css"]
    for place in (_HERE / name for name in names):
        sheets = place.glob("*.css") if place.is_dir() else [place]
        files += sorted(sheets, key=lambda file: (file.name != "view.css", file.name))
    return "\n".join(file.read_text("utf-8") for file in files)


def vendored(name: str) -> str:
    """Read a library that is shipped as published."""
    return (_HERE / "vendor" / name).read_text("utf-8") + "\n"


def answer_anywhere(widget: Widget) -> None:
    """Let any free loop of the kernel handle messages to `widget`.

    ipykernel 7.4 hands a browser message to the loop that last published on the widget's comm. For one made, or
    written to, in a cell that is the main thread, so that a slider is dead until the cell ends, and its old value then
    overwrites a newer one. Kernels that do not ask the comm need no cure.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = _choose_loop


def _choose_loop(_data: Any, wanted: str | None) -> str | None:
    """Return the subshell that the page wants, or any other that lives.

    A page that is loaded again while a cell runs has none before that cell ends, and a message to one that is gone
    would be lost. Called on the one thread that makes and ends subshells.
    """
    from IPython import get_ipython

    manager = getattr(getattr(getattr(get_ipython(), "kernel", None), "shell_channel_thread", None), "manager", None)
    living = manager.list_subshell() if hasattr(manager, "list_subshell") else [wanted]
    return wanted if wanted in living else next(iter(living), None)


def close_widgets(*widgets: Widget) -> None:
    """Close widgets, with the layouts and styles that ipywidgets would keep."""
    for widget in widgets:
        for part in (getattr(widget, "layout", None), getattr(widget, "style", None), widget):
            if isinstance(part, Widget):
                part.close()


class Pictured:
    """Puts a static picture beside a widget, for GitHub and nbconvert."""

    #: The session whose run is pictured; None for none, and once closed.
    session: Session | None = None
    #: Of the output that shows it in a notebook: its id, what was pictured there last, and whether no page shows it.
    display_id, pictured_at, pageless = "", None, False
    #: Held while that output is renewed, and while the widget is closed.
    publishing: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()

    def __new__(cls, /, *args: Any, **options: Any) -> Any:
        check_options(cls, options)
        return super().__new__(cls, *args, **options)

    def parts(self) -> Iterator[View]:
        """Yield all views of ours in it, itself included."""
        widgets: list[Any] = [self]
        while widgets:
            widget = widgets.pop()
            if isinstance(widget, View):
                yield widget
            widgets.extend(getattr(widget, "children", ()))

    def figure(self) -> Figure:
        """Return what the view shows now as a matplotlib Figure."""
        raise NotImplementedError

    def picture(self) -> Figure:
        """Draw the Figure stored beside the widget: `figure()`, or a plainer one."""
        return self.figure()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}: a live view, which a notebook shows (JupyterLab, Notebook, VS Code). "
            "In a script or a terminal, figure().savefig('view.png') of it keeps its picture."
        )

    def __del__(self) -> None:
        # While Python ends there is nothing left to close, and modules can no longer be imported.
        if not sys.is_finalizing():
            super().__del__()  # type: ignore[misc]

    def close(self) -> None:
        """Remove the widget from every page."""
        with self.publishing:
            super().close()  # type: ignore[misc]

    def _still(self) -> bytes:
        from ..core.base.canvas import encode_png, render_pixels

        return encode_png(render_pixels(self.picture()), few_colours=True)

    def _ipython_display_(self) -> None:
        if not in_notebook():
            raise NotImplementedError  # IPython then prints its repr
        show(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        # No HTML: viewers without widgets prefer it to the picture.
        data.pop("text/html", None)
        data["text/plain"] = repr(self)
        try:
            data["image/png"] = base64.b64encode(self._still()).decode()
        except Exception as error:  # noqa: BLE001 - without a picture the widget is shown all the same
            data["text/plain"] = f"{type(self).__name__} (no static picture: {error})"
        return data, metadata


class View(Pictured, anywidget.AnyWidget):
    """Projects its source into synced traits, as the page keeps up.

    A view has a folder: `view.py` with a class of this one whose `_esm` is `module(folder)` and whose `_css`
    is `style(folder)`; `view.js`, which exports by default an object with `render`; `view.css`. Its contract:

    * ``watches`` names the session's traits that change the picture; ``project()`` returns the whole
      picture as ``{trait: value}``, never a difference, so that a view shown late, twice or after a reload
      is right. It may run on the training thread: it reads, computes little, and waits for nothing.
    * The kernel alone writes synced traits. The page sends messages: *hello* when it opens, *drawn* when it
      has painted a picture, *wish* when a person wants something. A picture is sent only while fewer than
      ``AHEAD`` of those before it are not drawn yet: a closed, hidden or slow page costs nothing. One that
      shows what the last one showed is not sent. A message may be lost, so a page that may have missed one
      gets the whole picture again, not what changed since. What any view of the page says brings along, as
      *beside*, what the others have drawn: the kernel hears one message a second for all, not seven.
    * ``BEAT`` says at how many pulses it is drawn anew while training: what changes slowly, or takes long
      to make, is not drawn at each. Every other trait in ``watches`` is shown at once, but those in ``CALM``
      wait for that pulse too, since training changes them by itself.
    * ``wish(name, value)`` receives what a person asked for; an exception's sentence is shown in the view.
    * ``close()`` lets everything go.
    """

    _css = style()
    watches: ClassVar[tuple[str, ...]] = ("pulse",)
    #: How many pictures may be on their way: 1 where one may be large, for whoever is far away waits for all
    #: of them; more where they are small, since to hear that one is drawn costs more than to send it.
    AHEAD: ClassVar[int] = 1
    BEAT: ClassVar[int] = 1
    CALM: ClassVar[tuple[str, ...]] = ()
    #: Whether the page can be sent a newer static picture of what it shows live.
    keeps = False

    frame = traitlets.Int(0, help="number of the picture; the page repeats it once drawn").tag(sync=True)
    problem = traitlets.Unicode("", help="why the picture could not be made, one sentence").tag(sync=True)
    ahead = traitlets.Int(1, help="how many pictures are sent before an answer is waited for").tag(sync=True)
    address = traitlets.Unicode(help='"kernel/view": whose answers may travel with those of others').tag(
        sync=True
    )
    #: The views of this process by address.
    _addressed: ClassVar[weakref.WeakValueDictionary[str, View]] = weakref.WeakValueDictionary()

    def __init__(self, session: Session | None = None, **traits: Any) -> None:
        self.session = session
        self._sending = threading.Lock()
        self._stale = self._whole = self._greeted = False
        self._shows_threads = shows_threads()
        self._drawn: int | None = None  # None: no page has said hello
        self._sent_at, self._patience, self._gap = time.monotonic(), _PATIENCE, 1.0
        # Made before the comm opens, so that the first picture travels with it.
        values, problem = self._picture()
        own: dict[str, Any] = {"frame": 1, "ahead": self.AHEAD, "address": f"{_PROCESS}/{next(_NUMBERS)}"}
        if (text := getattr(type(self), "_esm", None)) is not None:
            own |= {"_esm": compress(str(text), str(self._css)), "_css": ""}
        super().__init__(**{**traits, **values, "problem": problem, **own})
        self._addressed[self.address] = self
        self.on_msg(self._hear)
        answer_anywhere(self)
        if session is not None:
            session.observe(self._note, names=list(self.watches))

    # -- what a view defines

    def project(self) -> dict[str, Any]:
        """Return the whole picture of now as values of synced traits."""
        return {}

    def wish(self, name: str, value: Any) -> None:
        """Do what a person asked for in the page."""
        raise ValueError(f"{type(self).__name__} does not know what to do with {name!r}.")

    def hint(self, sentence: str) -> None:
        """Show a sentence on the run, where there is a place."""

    # -- kernel to page

    def refresh(self) -> None:
        """Send the picture anew once a page waits for it. Any thread."""
        self._stale = True
        # Whoever finds another thread sending leaves the rest to it, so that training never waits here.
        while self._stale and self._may_send() and self._sending.acquire(blocking=False):
            try:
                # Again: another thread may have sent one since.
                if self._stale and self._may_send():
                    self._stale = False
                    self._show()
            finally:
                self._sending.release()

    def _may_send(self) -> bool:
        if self.comm is None or not (self._shows_threads or threading.current_thread() is threading.main_thread()):
            return False
        if self._asked_for:
            return True
        # Older kernels hear the page only after the running cell. While that cell is one of our own
        # (fit, step), pictures go unasked, ever more rarely.
        blocking = self.session is not None and self.session.blocking
        return blocking and time.monotonic() - self._sent_at > self._gap

    @property
    def _asked_for(self) -> bool:
        """Whether a page waits for the next picture."""
        return self._drawn is not None and self.frame - self._drawn < self.AHEAD

    def _picture(self) -> tuple[dict[str, Any], str]:
        try:
            return self.project(), ""
        except Exception as error:  # noqa: BLE001 - shown in the view; the training that called goes on
            return {}, f"This view could not be drawn: {_sentence(error)}"

    def _show(self) -> None:
        # A page that says hello waits for an answer, though nothing may have changed.
        whole, greeted = self._whole, self._greeted
        self._whole = self._greeted = False
        if not self._asked_for:
            self._gap = min(2 * self._gap, _LONGEST)
            whole = True
        values, problem = self._picture()
        frame = self.frame + 1
        try:
            sent = self._send_picture(frame, values, problem, whole, greeted)
        except Exception as error:  # noqa: BLE001 - said in the view; the training that called goes on
            # What could not be written as a message must not be part of the next.
            self._states_to_send.clear()
            sent = True
            with contextlib.suppress(Exception):
                self._send_picture(frame, {}, f"This view could not be sent: {_sentence(error)}", True)
        if sent:
            self._sent_at = time.monotonic()
            if self.comm is not None and self._drawn is not None:
                _Reminder.follow(self)

    def _send_picture(
        self, frame: int, values: dict[str, Any], problem: str, whole: bool, greeted: bool = False
    ) -> bool:
        """Send what changed, or the whole picture; say whether anything was sent."""
        values = {**values, "problem": problem}
        with self.hold_sync():
            for name, value in values.items():
                # As a rule few have changed, and setting those that have not takes ten times as long.
                if getattr(self, name) != value:
                    setattr(self, name, value)
            if whole:
                self._states_to_send.update(name for name in values if name in self.keys)
            elif not self._states_to_send and not greeted:
                return False
            self.frame = frame
            self._states_to_send.add("frame")  # a picture that could not be sent has counted it up already
        return True

    @property
    def _waits(self) -> bool:
        """Whether a page owes an answer and is not given up."""
        return (
            self.comm is not None and self._drawn is not None and self._drawn < self.frame
            and self._patience <= _LONGEST
        )  # fmt: skip

    def _ask(self) -> None:
        """Ask a page that has been silent too long for an answer."""
        if self._waits and time.monotonic() - self._sent_at > self._patience:
            self._patience *= 2
            self.send({"ask": self.frame})

    # -- page to kernel

    def set_state(self, sync_data: Any) -> None:
        """Take nothing: a page asks in messages, and writes no trait."""
        # Taking it would also hold back, for its time, what the training thread announces on this object.

    def _hear(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if not isinstance(message, dict):
            return
        self._patience, self._gap = _PATIENCE, 1.0
        if "hello" in message:
            # A page that has the newest picture, with none missing before it, needs only what changes.
            said = message["hello"]
            if type(said) is not int or said != self.frame:
                self._whole = True
            self._greeted, self._drawn = True, self.frame
            self.keeps = message.get("keeps") is True
            self.refresh()
        elif "drawn" in message:
            self._answered(message["drawn"])
        elif "wish" in message:
            try:
                self.wish(str(message["wish"]), message.get("value"))
            except Exception as error:  # noqa: BLE001 - the sentence goes back to the person who asked
                self.send({"refused": message["wish"], "because": str(error) or type(error).__name__})
        # After the wish, so that the others are drawn with what came of it.
        beside = message.get("beside")
        for address, drawn in beside.items() if isinstance(beside, dict) else ():
            if (view := self._addressed.get(address)) is not None:
                view._answered(drawn)

    def _answered(self, drawn: Any) -> None:
        """Note that a page has drawn a picture; send the next."""
        self._patience, self._gap = _PATIENCE, 1.0
        # With an older number those after it are still on their way, or were replaced.
        if type(drawn) is int and (self._drawn or 0) < drawn <= self.frame:
            self._drawn = drawn
        if self._stale:
            self.refresh()

    def _note(self, change: Any) -> None:
        name = change["name"]
        if name in self.CALM and self.session is not None and self.session.status == "running":
            return
        if name != "pulse" or change["new"] % self.BEAT == 0:
            self.refresh()
        if name == "pulse" and self.keeps and self.session is not None and self.session.status != "running":
            renew_soon(self.display_id)

    def close(self) -> None:
        """Stop following the session and remove the view from every page."""
        if self.session is not None:
            with contextlib.suppress(ValueError):  # one that was refused half-way does not follow it yet
                self.session.unobserve(self._note, names=list(self.watches))
            self.session = None
        self._addressed.pop(self.address, None)
        if self.comm is not None:
            self.layout.close()
        super().close()


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


class Arranged(Pictured, VBox):
    """Arranges views and controls of ipywidgets, which marimo does not show."""

    #: Elements of marimo that stand for them, as long as they are shown: marimo itself keeps none alive.
    _elements: Any = ()

    def _in_marimo(self) -> list[Any]:
        """Return what marimo shows instead, from top to bottom."""
        return []

    def _display_(self) -> Any:
        import marimo

        self._elements = self._in_marimo() or [marimo.image(self._still())]
        return marimo.vstack(self._elements)


class _Reminder:
    """Asks silent pages for their answers, since a message may be lost.

    One thread for all views, alive only while a page owes an answer.
    """

    _views: ClassVar[weakref.WeakSet[View]] = weakref.WeakSet()
    _lock, _running = threading.Lock(), False

    @classmethod
    def follow(cls, view: View) -> None:
        """Remind the page of `view` until it has answered."""
        with cls._lock:
            cls._views.add(view)
            if not cls._running:
                cls._running = start_where_shown(cls._work, "dlwidgets-reminder")

    @classmethod
    def _work(cls) -> None:
        # Asked in a function of its own, so that nothing is kept alive while asleep.
        time.sleep(1.0)
        while cls._ask():
            time.sleep(1.0)

    @classmethod
    def _ask(cls) -> bool:
        with cls._lock:
            views = list(cls._views)
        # Without the lock: nobody who sends a picture is to wait for a message of another view.
        for view in views:
            with contextlib.suppress(Exception):  # closed meanwhile; the others are still watched
                view._ask()
        with cls._lock:
            for view in views:
                if not view._waits:
                    cls._views.discard(view)
            cls._running = bool(cls._views)
            return cls._running
