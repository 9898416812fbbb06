"""Run: the one object that trains, on whatever thread."""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from ..base.frontend import in_notebook
from ..base.history import History
from ..base.isolation import TrainingContext, preserve_modes, preserve_random_state, use_device, use_threads
from ..base.ledger import Entry
from ..base.random_state import TURN, RandomStates
from ..base.slices import SlicedWork
from ..base.state import Stateful
from ..base.training_models import note_training
from ..base.words import describe_error, quote_names
from ..controls.steering import ModelShape, Steering, names_of
from ..data.batches import Batches
from ..data.hosted_batches import HostedBatches
from ..data.session_data import SessionData
from ..layers.framework import framework_of
from ..layers.load_weights import WeightsReport, plan_weights
from ..scoring.evaluation import Evaluation, NotFiniteOutput
from .evaluations import Evaluations
from .loop import Diverged, Loop, NotFinite
from .orders import Orders
from .progress import Progress
from .proof import Proof
from .replay import replay_change
from .resources import CpuContention
from .snapshots.origin import Origin
from .snapshots.parts import GlobalRandomness, ModelState, OptimizerState
from .snapshots.timeline import Timeline
from .worker import Worker

if TYPE_CHECKING:
    from .hosted import Hosting
    from .snapshots.checkpoints import Autosave
    from .trials import Trial

#: Facts are told at most this often [s]; views draw no faster.
PULSE = 0.1
#: How long a wish that holds at rest too is waited for, lest a long job holds up who made it [s].
_PATIENCE = 2.0
#: Errors whose sentence says it all.
_SAID = (NotFinite, NotFiniteOutput, Diverged)
#: How long a slice of long work takes between two steps, and where none are taken [s].
_SLICE, _SLICE_AT_REST = 0.035, 0.5
#: A proof that took longer is not made again where a run goes on, to see what was changed meanwhile [s].
_QUICK = 0.1
#: How long steps and checkpoints under way are waited for when the interpreter ends [s].
_LAST_PATIENCE = 10.0

_runs: weakref.WeakSet[Run] = weakref.WeakSet()


#: What is true of a run at any moment, by the names under which a session tells it; read on any thread.
_NOW: dict[str, Callable[[Run], Any]] = {
    "steps": lambda run: run.loop.steps,
    "epoch": lambda run: run.loop.epoch,
    "epochs": lambda run: run.loop.epochs,
    "loss": lambda run: run.loop.loss,
    "line": lambda run: run.timeline.line.name,
    "snapshots": lambda run: run.timeline.snapshots,
    "history": lambda run: run.loop.history,
    "changes": lambda run: list(run.timeline.line.changes),
    "progress": lambda run: run._progress(),
    "proof": lambda run: run.newest_proof(),
}


class Attendant:
    """Looks on at a run between two steps; this one sees nothing."""

    def began(self) -> None:
        """A burst of steps begins."""

    def after_step(self, evaluated: bool = False) -> None:
        """A step was taken, or the model `evaluated`."""

    def changed(self) -> None:
        """Something was put in force."""

    def proved(self, holds: bool) -> None:
        """What is frozen was compared with then, and `holds` or not."""

    def failed(self, error: NotFinite | NotFiniteOutput) -> bool:
        """A step was not taken; say whether that was seen to."""
        return False

    def arrived(self) -> None:
        """The run was taken somewhere else: back, or to another line."""


class _GivenUp(Exception):
    """A pause ended an evaluation; it is made again on resuming."""


class Run:
    """Trains as `orders` say, on a thread that lives while it works.

    During a burst of work it borrows the model (in train mode, on the device), the global random generators
    and the number of torch's threads; between bursts all is as its owner left it. Methods under "any thread"
    may also be called from observers on the training thread, where none of them waits.

    Parameters
    ----------
    data : what it trains on and is evaluated on.
    wish : returns what is wished for now, by the name of a control.
    tell : told of facts as keywords, in the order in which they are to be seen, on the training thread.
        `pulse=n` comes last, when all other facts of a moment have been told. `paused` and `blocking`
        (whether a caller waits) are told on any thread.
    note : told, in a sentence, of what a person should know.
    memory : bytes that snapshots may take; None: see `base.machine.snapshot_budget`.

    Attributes
    ----------
    parts : name -> part of the run whose state a snapshot holds: see `base.state.Stateful`. What is added
        here is in every snapshot from then on.
    origin : where the run began, once it has; None before. `lost` says in a sentence why it is not known.
    pending : changes of another run, in order, that are made at their steps.
    failure : what made the run fail; None once it goes again, or was stopped.
    autosave : writes checkpoints; None for none.
    attendant : what looks on.
    wish : returns what is wished for now, by the name of a control.
    hosting : what has it follow another loop, which takes the steps; None for its own.
    own_optimizer : what moved the weights before another loop did.
    given : the controls with a wish that only the steps of another loop can meet.
    """

    def __init__(
        self,
        loop: Loop,
        data: SessionData,
        *,
        seed: int,
        threads: int | None,
        wish: Callable[[str], Any],
        tell: Callable[..., None],
        note: Callable[[str], None],
        memory: int | None = None,
    ) -> None:
        self.loop, self.data, self.seed = loop, data, seed
        self.wish, self._tell_session, self.note = wish, tell, note
        self.origin: Origin | None = None
        self.lost = ""
        self.pending: list[Entry] = []
        self.orders, self.steering = Orders(), Steering(loop, threads)
        self.worker = Worker(self._burst, self._crashed, lambda: self.orders.going, self._struck)
        loop.goal, loop.between_batches = self._goal, self._between_batches
        loop.before_step = self._hand_on
        loop.alone = lambda: self._callers > 0
        loop.note = loop.precision.note = loop.watch.note = note
        loop.rate.begins_run = lambda: self.orders.goal is None
        self.steering.evaluates = loop.rate.valid = data.valid is not None
        self.steering.seed, self.steering.wish = seed, wish
        self.steering.train_targets, self.steering.valid_targets = (
            getattr(getattr(one, "source", None), "targets", None) for one in (data.train, data.valid)
        )
        #: How all stood when the evaluation under way began, if that is one that the run made due.
        self._standing: TrainingContext | None = None
        self.failure: BaseException | None = None
        self.evaluations = Evaluations(loop, data.valid, seed, wish, note)
        # In this order they are put back: the data may refuse, and the others draw random numbers.
        self.parts: dict[str, Stateful] = {
            "data": loop.batches, "form": ModelShape(self.steering), "optimizer": OptimizerState(loop),
            "weights": ModelState(loop), "loop": loop, "steering": self.steering, "proofs": loop.proofs,
            "trainer": self.evaluations, "random": GlobalRandomness(lambda: None if self._borrowing else self._streams),
        }  # fmt: skip
        self.timeline = Timeline(loop, self.steering, self.parts, memory=memory, note=note)
        self.autosave: Autosave | None = None
        self.attendant = Attendant()
        self.closed = False
        self.hosting: Hosting | None = None
        self.own_optimizer = loop.optimizer
        self.given: tuple[str, ...] = ()
        self._crowd = CpuContention()
        #: The names of the losses that were told.
        self._losses = loop.objective.names
        self._device = loop.objective.device
        self._streams = RandomStates.from_seed(seed, self._device)
        self._asked: dict[str, str] = {}
        self._callers = 0
        self._asking, self._counting = threading.Lock(), threading.Lock()
        #: Whether the burst under way began with steps to take; whether the last ended though it goes on.
        self._running = self._goes_on = False
        self._borrowing = self._telling = False
        #: What was true where the run set out from, while it is taken somewhere else; None where it is not.
        self._left: dict[str, Any] | None = None
        self._ending = ""
        #: How many pulses there were; when the last one was, and when one was last thought of [s].
        self._pulses, self._pulsed, self._checked = 0, 0.0, 0.0
        #: Whether the end of the run was moved, and whether the schedule is still to follow it.
        self._end_moved = self._end_news = False
        # An interpreter that ends while another thread is inside of torch crashes the process.
        _runs.add(self)
        note_training(self, loop.model)

    def _goal(self) -> int:
        """Return the epochs at the end of this or the next run."""
        goal = self.orders.goal
        return self.loop.epochs + self.wish("epochs") if goal is None else goal

    @property
    def threads(self) -> int:
        """How many threads torch uses in training."""
        return self.steering["threads"].now()

    def now(self, name: str) -> Any:
        """Return one of `_NOW`; of before going back or trials under way."""
        left = self._left
        return _NOW[name](self) if left is None else left[name]

    def has_work_after_step(self) -> bool:
        """Say whether a step of another loop leaves anything to do.

        What goes by time alone comes with the next facts.
        """
        orders, worker, loop = self.orders, self.worker, self.loop
        if not orders.going or worker.has_jobs or self._asked or self.pending or self._end_news or self.steering.due():
            return True
        # One more is counted once it is written down.
        if self.evaluations.due(True, loop.steps + 1) or not orders.proceed(loop.steps + 1, loop.epochs, True):
            return True
        return time.perf_counter() - self._pulsed >= PULSE

    @property
    def elsewhere(self) -> bool:
        """Whether the run is taken somewhere else, or tries something."""
        return self._left is not None

    def exchange(self, batches: Batches, optimizer: Optimizer) -> None:
        """Go on with other batches, and another optimizer.

        What was kept of before holds the state of others: there is no way back to it.
        """
        loop = self.loop
        loop.batches = loop.accumulation.batches = self.parts["data"] = batches
        if optimizer is not loop.optimizer:
            loop.swap(optimizer)
            self.steering.optimizer_changed()
            self.timeline.start_over(self.timeline.line)
        # What was wished for before it began holds from its first step on.
        with self._asking:
            self._asked |= dict.fromkeys(self.given, "code")
        self.given = ()
        wishes = {name: wish for name, wish in self.steering.wishes().items() if not self.waits(name)}
        self.tell(wishes=wishes, applied=self.steering.applied())

    def _progress(self) -> dict[str, Any]:
        every = None if self.data.valid is None else self.wish("evaluate_every")
        goal = self.orders.newest_goal
        if goal is None:
            # Steps before any run are its first: they do not put off its end with each epoch they complete.
            goal = self.orders.began + self.wish("epochs")
        return self.loop.progress(goal, every)

    # -- any thread: orders

    def check_open(self) -> None:
        """Raise RuntimeError where the run was closed."""
        if self.closed:
            raise RuntimeError("The session is closed: make a new one.")

    def check_trains(self, alone: bool = False) -> None:
        """Raise ValueError where it takes no steps, or none `alone`."""
        if self.hosting is not None and alone:
            name = self.hosting.host.name
            raise ValueError(f"{name} takes the steps now: none can be tried before it has ended.")
        if self.hosting is None and isinstance(self.data.train, HostedBatches):
            raise ValueError(
                "The session was given no train=, so that it takes no steps by itself: "
                "model.fit(X, y, callbacks=[session.keras_callback()]) does, and the session follows it."
            )
        if self.hosting is None and (why := framework_of(self.loop.model).why_not_trained(self.loop.model)):
            raise ValueError(why)

    def check_way_back(self) -> None:
        """Raise ValueError, with a clause, where no step can be taken back."""
        if self.loop.batches.once:
            raise ValueError("the data can be read once only, as a generator")

    def begin(self, epochs: int, only: bool) -> None:
        """Order the run to go on, or begin one: see `Orders.start`.

        Raises
        ------
        ValueError : the data was a generator, which has been read to its end.
        """
        self.check_open()
        if self.data.train.used_up:
            raise ValueError(
                "train was a generator and has been read to its end: pass a list of batches, or a Dataset."
            )
        self.orders.start(self.now("epochs"), epochs, only)

    def go(self) -> None:
        """Have what was ordered done."""
        self._tell_session(paused=self.orders.paused)
        self.worker.wake()

    def settle(self, wait: bool = True) -> None:
        """Have the training thread tell how it ended."""
        self.go()
        if wait:
            with self.waiting():
                self.worker.wait(until=lambda: self.orders.going)
            self._await_disk()

    @contextlib.contextmanager
    def awaiting_end(
        self, wait: bool = True, progress: bool = False, seconds: float | None = None
    ) -> Iterator[None]:
        """Wait for the end of what was ordered inside; raise what failed.

        An interrupt pauses it, a second one gives up waiting. In a notebook the cells after it may go on; a
        script hears of the interrupt once the run rests. After so many `seconds` it pauses.
        """
        shown = Progress(self) if progress else None
        try:
            yield
            if not wait:
                return
            with self.waiting():
                if shown is not None:
                    self._show(shown)
                self.worker.wait(timeout=seconds)
            if seconds is not None and self.orders.going:
                self.orders.pause()
                self.settle()
            self._await_disk()
        except KeyboardInterrupt:
            self.orders.pause()
            self.settle()
            if not in_notebook():
                raise
            on = "run_here" if self.worker.hidden else "resume"
            sys.stdout.write(f"The interrupt paused the run after step {self.loop.steps:,}: {on}() goes on.\n")
        self.raise_failure()

    def flush(self) -> None:
        """Return once the state of now is on disk."""
        if self.autosave is not None and not self.worker.here and not self.closed:
            self.result(self.autosave.save_last)
            self.autosave.checkpoints.wait()
            self.autosave.tell()

    def _await_disk(self) -> None:
        """Return once what is being written is on disk."""
        if self.autosave is not None and not self.worker.here:
            self.autosave.await_disk()

    def await_rest(self, timeout: float | None) -> None:
        """Wait until nothing runs, or so many seconds; raise what failed."""
        with self.waiting():
            rests = self.worker.wait(timeout=timeout)
        if rests:
            self.flush()
            self.raise_failure()

    def _show(self, progress: Progress) -> None:
        """Show how far the run is until it rests."""
        try:
            progress.show()
            self.worker.wait(meanwhile=progress.show)
        finally:
            progress.close()

    def _struck(self) -> None:
        """Pause after an interrupt, and give up what is tried."""
        self.timeline.abandoned = True
        self.orders.pause()

    def raise_failure(self) -> None:
        """Raise what made the run fail, where it did."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """End the run and let the data's workers go."""
        if not self.closed:
            self.orders.stop()
            self.settle()
            self.flush()
            self.closed = True
            self.data.train.close()

    def epochs_changed(self, epochs: int) -> None:
        """Move the run's goal; a schedule fitted to it follows."""
        self.orders.epochs_changed(epochs)
        if self.orders.goal is not None and self.loop.steps:
            self._end_moved = self._end_news = True

    # -- any thread: wishes

    def ask(self, name: str, by: str) -> None:
        """Note that a wish changed; it holds from the next step.

        What holds without one too (`Control.at_rest`) does when this returns, where no step is to be taken.
        """
        with self._asking:
            self._asked[name] = by
        if not self.steering[name].at_rest or self.orders.going:
            return
        future = self.worker.job(lambda: self._apply("at_rest"))
        if not self.worker.here:
            with TURN.given_up():
                concurrent.futures.wait([future], timeout=_PATIENCE)
            if future.done():
                future.result()

    def settings(self) -> dict[str, Any]:
        """Return the wishes that no step puts in force."""
        return {name: self.wish(name) for name in names_of(steers=False)}

    def open_wishes(self) -> dict[str, Any]:
        """Return the wishes that are in no part's state."""
        with self._asking:
            asked = {name: (by, self.wish(name)) for name, by in self._asked.items()}
        settings = {name: self.wish(name) for name in ("selected_layer", "selected_sample")}
        pending = [dict(vars(entry)) for entry in self.pending]
        return {"settings": {**self.settings(), **settings}, "asked": asked, "pending": pending}

    def take_over(self, began: int, goal: int | None, done: bool, wishes: Mapping[str, Any]) -> None:
        """Take over another kernel's run, with its `open_wishes`."""
        settings = wishes.get("settings", {})
        known = self.steering.controls.keys()
        self.tell(wishes={k: self.steering.read(k, v) if k in known else v for k, v in settings.items()})
        self.pending = [Entry(**one) for one in wishes.get("pending", ())]
        for name, (by, value) in wishes.get("asked", {}).items():
            try:
                self.tell(wishes={name: self.steering.read(name, value)})
            except (ValueError, TypeError):
                self.note(f"{name} had been set, to what no file can hold: set session.{name} again.")
            else:
                self.ask(name, by)
        planned = wishes.get("planned") if self.orders.planned is None else self.orders.planned
        self.orders.take_over(began, goal, done, planned)
        self.settle()

    def waits(self, name: str) -> bool:
        """Say whether a wish has changed and is not settled yet."""
        with self._asking:
            return name in self._asked

    # -- any thread: jobs

    def at_step(self, work: Callable[[], Any], looks: bool = False) -> Future[Any]:
        """Have `work()` done on the training thread between two steps.

        Random numbers that it draws and modes that it sets (`model.eval()`) disturb no training. Its result
        is there once all that was borrowed for it is given back, or at once where training goes on. What only
        `looks` at the model need not wait for the end of an evaluation.
        """
        self.check_open()

        def apart() -> Any:
            with self._borrowed(), self._apart():
                return work()

        return self.worker.job(apart, looks)

    @contextlib.contextmanager
    def _apart(self) -> Iterator[None]:
        """Have what is done inside disturb no training."""
        with preserve_random_state(), preserve_modes(self.loop.model):
            yield

    def in_slices(self, work: Callable[[], Any]) -> Future[Any]:
        """Have `work()`, which pauses by itself, done a slice between two steps.

        A training is held no longer than a slice takes: see `base.slices`.
        """
        if self.worker.here:
            return self.at_step(work)  # which it does itself, at once
        whole: Future[Any] = Future()
        sliced = SlicedWork(work)

        def ended(slice: Future[bool]) -> None:
            try:
                if not slice.result():
                    more()
                    return
                whole.set_result(sliced.result())
            except BaseException as error:  # noqa: BLE001 - it belongs to who asked
                sliced.abandon()
                whole.set_exception(error)

        def more() -> None:
            try:
                slice = self.at_step(lambda: sliced.run(_SLICE if self.orders.going else _SLICE_AT_REST))
                slice.add_done_callback(ended)
            except RuntimeError as error:  # the run was closed
                sliced.abandon()
                whole.set_exception(error)

        more()
        return whole

    def result(self, work: Callable[[], Any], sliced: bool = False) -> Any:
        """Return what `work()` returns, done as by `at_step`, or `in_slices`."""
        future = self.in_slices(work) if sliced else self.at_step(work)
        with self.waiting():
            return self.worker.result(future)

    def travel(self, work: Callable[[Timeline], Any]) -> Any:
        """Pause, and return what `work(timeline)` returns, done between two steps.

        Nothing of the steps that it takes is told as the run's; where the run is by then is told after it.
        """
        found = self.await_visit(self.visit(work))
        self.settle()
        return found

    def visit(self, work: Callable[[Timeline], Any], fact: str = "") -> Future[Any]:
        """Have `work(timeline)` done as by `travel`, its result told as a fact."""
        self.check_open()
        self.orders.pause()
        return self.worker.job(lambda: self._visit(work, fact))

    def aside(self, work: Callable[[], Any], fact: str = "") -> Future[Any]:
        """Have `work()` done between two steps, and all put back.

        Nothing of the steps that it takes is told as the run's, which then goes on, where it went. What it returns
        is told as a fact. It ends at once where `self.interrupted()` says so.

        Raises
        ------
        ValueError : through the Future: there is no way back from steps.
        """
        self.check_open()
        return self.worker.job(lambda: self._aside(work, fact))

    def await_visit(self, future: Future[Any]) -> Any:
        """Return a visit's result; an interrupt ends it."""
        try:
            with self.waiting():
                return self.worker.result(future)
        except KeyboardInterrupt:
            self.timeline.abandoned = True
            self.worker.wait(until=future.done)
            raise

    def interruption(self) -> Callable[[], bool]:
        """Return what says whether an order or an interrupt came since."""
        given, self.timeline.abandoned = self.orders.given, False
        return lambda: self.timeline.abandoned or self.orders.given != given

    def _visit(self, work: Callable[[Timeline], Any], fact: str = "") -> Any:
        """Return what `work(timeline)` returns, and tell where the run is after it."""
        with self._borrowed():
            self.timeline.begin()
            self._apply()
            left, found, ending = (self.timeline.line, self.timeline.place), None, self.orders.ending
            self._left = {name: read(self) for name, read in _NOW.items()}
            try:
                found = work(self.timeline)
                return found
            finally:
                self._left = None
                if fact:
                    self.tell(**{fact: found})
                # Who stops the trying of something has the run wait.
                stopped = self.orders.ending == "stopped" != ending
                self._arrived(moved=stopped or (self.timeline.line, self.timeline.place) != left)

    def _aside(self, work: Callable[[], Any], fact: str) -> Any:
        with self._borrowed():
            self._apply()
            loop, parts, ending = self.loop, self.timeline.ordered(), self._ending
            state = self.timeline.capture("left", must=True)
            if state is None:
                raise ValueError("Some layers get their size in the first step: session.step() takes it.")
            kept = loop.history, loop.layer_stats, loop.waited
            try:
                self.check_way_back()
                state.install(parts)  # what cannot be put back is refused before anything is changed
            except ValueError as why:
                raise ValueError(f"There is no way back from steps that are tried: {why}.") from why
            self._left = {name: read(self) for name, read in _NOW.items()}
            loop.history, found = History(), None
            try:
                found = work()
                return found
            finally:
                state.install(parts)
                loop.history, loop.layer_stats, loop.waited = kept
                self.steering.adopted, self._left = {}, None
                if fact:
                    self.tell(**{fact: found})
                if self._ending != ending:
                    self._ending = ending
                    self._publish(status="running" if self._running and not ending else ending or "ready")

    def go_back(
        self, step: int, note: str, wishes: Callable[[], Mapping[str, Any]] = dict, error: BaseException | None = None
    ) -> None:
        """Go back amid a burst, and on; with an `error`, pause.

        Parameters
        ----------
        note : why, for the ledger.
        wishes : returns what is put in force there.

        Raises
        ------
        ValueError : there is no way back; the run is where it was.
        """

        def work(timeline: Timeline) -> None:
            timeline.rewind(step, True, "doctor", note=note)
            if settings := wishes():
                self.put(settings, dict.fromkeys(settings, "doctor"))

        if error is not None:
            self.orders.pause()
        self._visit(work)
        if error is not None:
            self.failure = error
            self.tell(error=describe_error(error, bare=_SAID))

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the callers that wait; the training thread never does.

        A caller may be the thread of another run: this one could never begin while that holds the generators.
        """
        if self.worker.here:
            yield
            return

        def count(more: int) -> None:
            with self._counting:
                self._callers += more
            self._tell_session(blocking=self._callers > 0)

        try:
            count(1)
            with TURN.given_up():
                yield
        finally:
            count(-1)

    # -- the training thread: steps and evaluations

    def take_step(self) -> None:
        """Take a step, and evaluate where that is due; between runs."""
        self._put_due()
        if self.evaluations.due(self.loop.step()):
            self._evaluate_due()

    def skip(self, by: str = "code", note: str = "") -> int:
        """Leave out the next batch; return the number of its samples."""
        self.timeline.before_change()
        entry = Entry(self.loop.steps, "skip", 1, count := self.loop.skip(), by, note)
        self.steering.ledger.add(entry)
        self.timeline.changed([entry])
        return count

    def prove(self) -> Proof | None:
        """Compare what is frozen with then, and tell; None for nothing frozen."""
        loop, timeline = self.loop, self.timeline
        if not loop.steps:
            return None
        kept = (one.parts for one in reversed([*timeline.ring]) if timeline.line.holds(one))
        made = loop.proofs.make(loop.steps, loop.epoch, kept)
        if made is not None:
            loop.proofs.budget.spent(made.seconds)
            loop.history.proof(vars(made))
        self.tell(proof=self.newest_proof())
        if made is not None:
            self.attendant.proved(made.holds)
        return made

    def newest_proof(self) -> Proof | None:
        """Return the last proof on this line; None where nothing is frozen."""
        rows = self.loop.history.proofs
        frozen = rows and not all(one.requires_grad for one in self.loop.parameters)
        return Proof(**rows[-1]) if frozen else None

    def evaluate(self) -> Evaluation:
        """Evaluate now, and tell."""
        found = self.evaluations.make(self.timeline.line.name)
        self.tell(**self.evaluations.facts())
        self._publish()
        return found

    def _burst(self) -> None:
        """Take steps and do jobs while there are any; tell the end."""
        stopped = self.orders.ending == "stopped" != self._ending
        if self.orders.going or self.worker.has_jobs or stopped:
            with self._borrowed():
                self._work()
            self.loop.freezing.leave()
            self.worker.deliver()
        # Told when all is given back: an observer finds the model as its owner left it.
        ending = self.orders.ending
        if ending and not self.orders.going and ending != self._ending:
            self._ending = ending
            if ending not in ("failed", "paused"):  # a run that took itself back waits with its failure
                self.failure = None
            self._publish(status=ending)

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[None]:
        """Borrow model, random generators and threads for training."""
        if self._borrowing or self.hosting is not None:
            # Another loop goes on with the random numbers, modes and threads of now: see `_apart`.
            yield
            return
        model = self.loop.model
        with (
            TURN.lend(self._streams), contextlib.ExitStack() as stack, preserve_modes(model),
            use_threads(self.threads),
        ):  # fmt: skip
            for part in (model, *self.loop.objective.companions.roots.values()):
                stack.enter_context(use_device(part, self._device))
            stack.enter_context(self.loop.scaling.applied(model))
            self._borrowing = True
            model.train()
            self.loop.freezing.hold_statistics(mode_was_set=True)
            try:
                yield
            finally:
                self._streams = RandomStates.capture()
                self._borrowing = False

    def _hand_on(self) -> None:
        """Let other runs take a step, and the page be heard."""
        if TURN.hand_on():
            torch.set_num_threads(self.threads)  # theirs may be others
        self._let_in(amid=True)

    def _let_in(self, amid: bool = False) -> None:
        """Let the page be heard, with no trace in the training."""
        if self.worker.lets_in(amid):
            with self._apart():
                self.worker.let_in(amid)

    def _work(self) -> None:
        orders, worker, loop = self.orders, self.worker, self.loop
        if not self._goes_on:
            self._begin_burst()
        self._goes_on, began = False, loop.steps
        worker.begun()
        while True:
            if not worker.slice_over(began != loop.steps):
                self._let_in()
            worker.do_jobs(hold=not (self._running and orders.going))
            if not (self._running and orders.going):
                self._apply("at_rest")
                if not orders.going:
                    self._end_run(orders.ending)
                return
            worker.deliver()
            if worker.slice_over(began != loop.steps):
                self._goes_on = True
                return
            try:
                self._apply()
                if self._end_news:
                    self._end_news = False
                    # A schedule that was fitted to the run follows its end.
                    if loop.rate.plan is not None:
                        self.timeline.before_change()
                        self.put_entries(self.steering.stretch_schedule)
                        self.tell(applied=self.steering.applied(["schedule"]))
                while self.pending and self.pending[0].step <= loop.steps and orders.going:
                    replay_change(self, self.pending.pop(0))
                self._put_due()
                if self.evaluations.owed:
                    self._standing = TrainingContext(loop.model)
                    apart = contextlib.nullcontext() if self.hosting is None else self._apart()
                    with contextlib.suppress(_GivenUp), apart:
                        self._evaluate_due()
                        self.evaluations.owed = False
                        self.attendant.after_step(evaluated=True)
                elif loop.accumulation.used_up:
                    orders.finish()
                elif orders.proceed(loop.steps, loop.epochs, loop.accumulation.midway):
                    self.evaluations.owed = self.evaluations.due(took := loop.step())
                    self.timeline.after_step()
                    if loop.epoch_ended and loop.proofs.budget.due():
                        self.prove()
                    if took:
                        self.attendant.after_step()
                    if self.autosave is not None:
                        self.autosave.after_step()
            except BaseException as error:  # noqa: BLE001 - becomes a fact
                if not (isinstance(error, (NotFinite, NotFiniteOutput)) and self.attendant.failed(error)):
                    self._fail(error)
            self._standing = None
            # As often as views draw; the steps before an evaluation are not to be seen only after it.
            now = time.perf_counter()
            step, self._checked = now - self._checked, now
            soon = self.evaluations.owed and loop.evaluation_cost > PULSE / 4
            if soon or now - self._pulsed >= PULSE - min(step, PULSE) / 2:
                self._publish()
                self._follow_model()

    def _begin_burst(self) -> None:
        """See what became of the model; begin to take wanted steps."""
        self._follow_model()
        self._adopt_freezing()
        if said := self.loop.refresh():
            self.note(said)
        # A burst that began at rest, for a job, ends with it: a run begins in a burst of its own.
        self._running = self.orders.going
        if self._running:
            if self.hosting is None and self.loop.batches is not self.data.train:
                self.exchange(self.data.train, self.own_optimizer)
            self._begin_run()

    def load_weights(self, weights: Any, strict: bool, entry: str | None) -> WeightsReport:
        """Load weights between two steps: see `Session.load_weights`."""
        loop, timeline = self.loop, self.timeline
        if loop.normalisation.state()["split"]:
            raise ValueError("Weights are split by weight_norm: set session.normalise = None first.")
        report = plan_weights(loop.model, weights, strict, entry).carry_out()
        loop.refresh()
        loop.average.restart(loop.parameters)
        loop.proofs.forget()
        said = str(report).partition("\n")[0]
        if loop.steps:
            said += f" {self._lose_past(f'Weights were loaded after step {loop.steps:,}')}."
        elif len(timeline.ring):
            timeline.start_over(timeline.line)
        self.note(said)
        self._publish()
        return report

    def _lose_past(self, why: str) -> str:
        """Take notice of what neither a snapshot nor a script knows of."""
        self.origin, self.lost = None, f"{why}: no script can repeat that."
        self.timeline.start_over(self.timeline.line)
        return "There is no way back to before it"

    def _follow_model(self) -> None:
        """Train what a person put into the model; say so."""
        try:
            said, frozen = self.loop.follow_model()
        except ValueError as why:
            self.note(f"The model has changed, and its new parameters do not train: {why}.")
            return
        where = f"The model was changed by hand after step {self.loop.steps:,}"
        if said and self.loop.steps:
            said += f". {self._lose_past(where)}"
        for note in (said and f"{where}: {said}.", frozen):
            if note:
                self.note(note)

    def _adopt_freezing(self) -> None:
        """Write down what a person froze by hand between two runs."""
        adopted = self.loop.freezing.adopt(self.loop.optimizer) if self.loop.steps else ()
        if not adopted:
            return
        wished = self.wish("trainable") if self.waits("trainable") else {}
        choice = adopted[0]
        self.put({"trainable": choice}, {"trainable": "hand"})
        last = self.timeline.line.changes[-1:]
        if last and last[0].by == "hand":
            flag = framework_of(self.loop.model).train_flag
            self.note(f"{flag} was changed by hand after step {self.loop.steps:,}, which {last[0].note}.")
        if wished is not None:  # what was wished for meanwhile comes on top of it
            both = {**(choice or {}), **wished}
            self.tell(wishes={"trainable": self.steering.read("trainable", both) if wished else choice})

    def _end_run(self, ending: str) -> None:
        """Save what the run ended with; put the best weights back."""
        if self._running and (ending in ("done", "stopped") or self.loop.proofs.budget.due()):
            self.prove()
        # What was stopped can be gone on with from disk, as it was.
        if self.autosave is not None and ending != "done":
            self.autosave.at_end(ending)
        if ending in ("done", "stopped"):
            self._restore_best()
        if self.autosave is not None and ending == "done":
            self.autosave.at_end(ending)

    def _begin_run(self) -> None:
        self.failure, self._ending = None, ""
        self._crowd.start()
        if not self.loop.steps:
            self.put_entries(lambda: self.steering.run_begins(self.orders.runs))
            self.note_origin()
        self._note_changed_at_rest()
        self.timeline.begin()
        self.attendant.began()
        self._apply()
        self.put_entries(lambda: self.steering.run_begins(self.orders.runs))
        self._publish(error="", traceback="", status="running")

    def _note_changed_at_rest(self) -> None:
        """Say what of the frozen a person wrote into between two runs."""
        proof = self.newest_proof()
        if proof is None or proof.step != self.loop.steps or proof.seconds > _QUICK:
            return
        if names := self.loop.proofs.changed_at_rest():
            self.note(
                f"{quote_names(names, 3)}, frozen, {'was' if len(names) == 1 else 'were'} changed by hand after step "
                f"{self.loop.steps:,}: the proof counts from there on."
            )

    def note_origin(self) -> None:
        """Note the state of now as where the run began."""
        if self.hosting is not None:
            self.lost = f"{self.hosting.host.name} took the steps, with data of its own: no script can repeat that."
            return
        self.origin = Origin.of(self.loop, self.steering, len(self.timeline.line.changes))

    def _between_batches(self) -> None:
        """Let jobs and wishes into an evaluation; end it on a pause."""
        self._hand_on()
        # They are to see the weights that are trained, not their average.
        plain = not self.loop.average.on
        if plain:
            self.worker.do_looks()
        if self._standing is None:
            return
        if not self.orders.going:
            raise _GivenUp
        if plain:
            # They belong to the step before it, as it does: they might as well have come before it began.
            self._apply("of_the_step", self._standing)

    def _evaluate_due(self) -> None:
        """Evaluate; end the run where early stopping says so."""
        found = self.evaluate()
        if said := self.loop.rate.after_evaluation(found.figures, self.loop.steps):
            self.note(said)
        why = self.loop.judge(found.figures, found.samples if found.note else None)
        if self.loop.patience.best_step == self.loop.steps:
            self.evaluations.best = found
        if why and self.orders.going:
            self._restore_best(why)
            self.orders.finish()

    def _restore_best(self, why: str = "") -> None:
        """Put the best weights back where wished for, and write down `why`."""
        patience, back = self.loop.patience, self.loop.restore_best()
        if not why and not back:
            return
        why = why or f"The run ended after step {self.loop.steps}: {patience.said}."
        why += " Its weights were put back." if back else ""
        entry = Entry(self.loop.steps, "early_stopping", patience.rule, patience.rule, "early stopping", why)
        self.put_entries(lambda: self.steering.ledger.add(entry))
        self.timeline.take("change")
        self.note(why)
        if back:
            self.evaluations.show_best()
            self.tell(**self.evaluations.facts())

    # -- the training thread: wishes put in force

    def _apply(self, kind: str = "", standing: TrainingContext | None = None) -> None:
        """Apply the wishes that wait, and tell what came of them.

        Parameters
        ----------
        kind : "at_rest" for those alone that a model at rest shows; "of_the_step" for all, where an
            evaluation under way depends on none of them, or else for none.
        standing : how all stood when the evaluation under way began.
        """
        with self._asking:
            asked = {
                name: by for name, by in self._asked.items() if not kind or getattr(self.steering[name], kind)
            }
            if not asked or (kind == "of_the_step" and len(asked) < len(self._asked)):
                return
            self._asked = {name: by for name, by in self._asked.items() if name not in asked}
        with contextlib.nullcontext() if standing is None else standing.reenter():
            self.put({name: self.wish(name) for name in asked}, asked)

    def put(self, wishes: Mapping[str, Any], by: Mapping[str, str]) -> None:
        """Put wishes in force, each by who asked for it, and tell."""
        self._follow_model()  # before a wish, as for weight normalisation, changes parameters itself
        order = self.steering.order(wishes)
        self.timeline.before_change()
        self.put_entries(lambda: [self.steering.put(name, wishes[name], by[name]) for name in order])
        self.attendant.changed()
        adopted, self.steering.adopted = self.steering.adopted, {}
        adopted = {name: one for name, one in adopted.items() if name not in wishes and not self.waits(name)}
        if adopted:
            self.tell(wishes=adopted)
        self.tell(applied=self.steering.applied(order), rejected=dict(self.steering.rejected))

    def _put_due(self) -> None:
        """Put in force what a control brings right now."""
        if due := self.steering.due():
            wishes = {name: wish for name, (wish, _) in due.items()}
            self.put(wishes, {name: by for name, (_, by) in due.items()})
            self.tell(wishes={name: wish for name, wish in wishes.items() if not self.waits(name)})

    def put_entries(self, work: Callable[[], Any]) -> None:
        """Do `work()`, and note its ledger entries in the timeline."""
        known = len(self.steering.ledger)
        work()
        self.timeline.changed(self.steering.ledger.entries[known:])

    # -- the training thread: telling

    def tell(self, **facts: Any) -> None:
        """Tell of facts, in order; of none while the run is elsewhere."""
        if self._left is None:
            self._tell_session(**facts)

    def tell_trials(self, trials: Sequence[Trial], at_once: bool = False, **facts: Any) -> None:
        """Tell how far trials are, as often as views draw."""
        if at_once or time.perf_counter() - self._pulsed >= PULSE:
            self._pulsed, self._ending = time.perf_counter(), "trying"
            self._tell_session(**facts, trials=tuple(trials), status="trying")
            self._pulse()

    def _arrived(self, moved: bool = True) -> None:
        """Tell where the run is now, and whether it `moved` there."""
        if moved:
            self.orders.arrive(self.loop.epochs)
        # What goes on from there, since it was ordered meanwhile, begins in a burst of its own.
        self._running = False
        # There the schedule may end where the run ended once.
        self._end_news = self._end_moved
        self.evaluations.arrived(self.timeline.spans)
        ready = self._ending == "trying" and not self.orders.going and not self.orders.ending
        self._ending = "" if self._ending != "paused" else "paused"
        if moved:
            self.failure = None
            self.tell(error="", traceback="")
        self.tell(
            applied=self.steering.applied(), rejected=dict(self.steering.rejected),
            wishes=self.steering.wishes(), proof=self.newest_proof(), **self.evaluations.facts(),
        )  # fmt: skip
        if moved:
            self.attendant.arrived()
        self._publish(**({"status": "ready"} if ready else {}))

    def _fail(self, error: BaseException) -> None:
        self.orders.fail()
        self.failure = error
        trace = "".join(traceback.format_exception(error))
        self.tell(error=describe_error(error, bare=_SAID), traceback=trace)

    def _crashed(self, error: BaseException) -> None:
        """Tell of an exception outside of any step."""
        self._fail(error)
        self._ending = "failed"
        self._publish(status="failed")

    def _publish(self, **first: Any) -> None:
        """Tell where the run is, then `first`, then the pulse."""
        if self._left is not None:
            return
        loop, timeline = self.loop, self.timeline
        self._pulsed = time.perf_counter()
        moved: list[str] | None = []
        if loop.objective.names.keys() != self._losses.keys():
            self._losses, moved = loop.objective.names, ["loss_weights"]
        if loop.rate.plan is not None or self.hosting is not None:
            # The rate moves by itself.
            moved = None if "status" in first else [*moved, "lr", *loop.rate.cycled]
            if loop.rate.failure:
                self.note(loop.rate.failure)
        if moved != []:
            first = {"applied": self.steering.applied(moved), **first}
        order = {"paused": self.orders.paused, "trials": ()} if "status" in first else {}
        self.tell(
            **order, steps=loop.steps, epoch=loop.epoch, loss=loop.loss, layer_stats=loop.layer_stats,
            line=timeline.line.name, branches=timeline.branches, snapshots=timeline.snapshots, **first,
        )  # fmt: skip
        self._pulse()

    def _pulse(self) -> None:
        """Tell that all facts of a moment have been told."""
        if self._telling:
            return  # an observer of the pulse asked for what is told here: no pulse within a pulse
        self._telling = True
        try:
            self._pulses += 1
            self._tell_session(pulse=self._pulses)
        finally:
            self._telling = False
        if self.threads > 1 and self._pulses % 16 == 0:
            # A cell that used torch meanwhile has given the main thread a pool again.
            self.worker.free_main_pool()
        if said := self._crowd.note(self.threads if self._device.type == "cpu" else 1):
            self.note(said)


@atexit.register
def _end_all() -> None:
    """Pause all runs and write their checkpoints before Python ends."""
    saving = [run for run in list(_runs) if run.autosave is not None and not run.closed]
    going = [run for run in list(_runs) if run.orders.going]
    for run in list(_runs):
        run.orders.pause()
    until = time.monotonic() + _LAST_PATIENCE
    for run in saving:
        run.at_step(run.autosave.save_last)
    for run in list(_runs):
        with contextlib.suppress(KeyboardInterrupt):
            run.worker.wait(until=lambda: time.monotonic() > until)
            if run.autosave is not None:
                run.autosave.checkpoints.wait(until)
    for run in going if sys.stderr is not None and not in_notebook() else ():
        total = run._progress()["total"]
        where = f"step {run.loop.steps:,}" + (f" of {total:,}" if total else "")
        sys.stderr.write(
            f"dlwidgets: Python ended while a session of {type(run.loop.model).__name__} trained: it was paused "
            f"after {where}. fit() in place of start(), or wait() after it, trains to the end.\n"
        )
