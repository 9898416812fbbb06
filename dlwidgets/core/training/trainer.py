"""A loop on a thread of its own: takes orders, puts wishes in force, and tells what comes of it."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..base.ledger import Entry
from ..base.loan import Standing, modes_kept, on_device, torch_threads, untouched_rng
from ..base.random_state import Streams
from ..base.state import Stateful
from ..base.words import in_one_line
from ..controls.regimen import Form
from ..controls.steering import Steering
from ..data.batches import Batches
from ..scoring.evaluation import Evaluation
from .applying import Applying
from .contention import Crowd
from .evaluations import Evaluations
from .exit import end_at_exit
from .loop import Loop, NotFinite
from .orders import Orders
from .replay import make_again
from .snapshots.origin import Origin
from .snapshots.parts import Moves, Randomness, Weights
from .snapshots.timeline import Timeline
from .worker import Worker

if TYPE_CHECKING:
    from .snapshots.autosave import Autosave

#: Facts are told at most this often [s]; views draw no faster.
PULSE = 0.1


class _GivenUp(Exception):
    """A pause came in the middle of an evaluation; it is made again when the run goes on."""


class Trainer(Applying):
    """Trains on its own thread as `orders` say; while nothing runs there is no thread.

    During a burst of work it borrows the model (in train mode, on the device), the global random generators
    and the number of torch's threads; between bursts all is as its owner left it.

    Parameters
    ----------
    valid : what is evaluated; None for nothing.
    wish : returns what is wished for now, by name: the controls of `Steering`, "evaluate_every" and
        "evaluate_samples".
    tell : told of facts as keywords, in the order in which they are to be seen, on the training thread.
        `pulse=n` comes last, when all other facts of a moment have been told.
    note : told, in a sentence, of what a person should know.
    memory : bytes that snapshots may take; None: see `memory.snapshot_budget`.

    Attributes
    ----------
    parts : name -> part of the run whose state a snapshot holds: see `stateful.Stateful`. What is added here
        is in every snapshot from then on.
    timeline : the snapshots, and the lines of the run.
    origin : where the run began, once it has; None before.
    pending : changes of another run, in order, that are made at their steps.
    failure : what made the run fail; None once it goes again, or was stopped.
    evaluations : when one is due, and what those there were found.
    """

    def __init__(
        self,
        loop: Loop,
        valid: Batches | None,
        *,
        seed: int,
        threads: int | None,
        wish: Callable[[str], Any],
        tell: Callable[..., None],
        note: Callable[[str], None],
        memory: int | None = None,
    ) -> None:
        self.loop, self.valid, self.seed = loop, valid, seed
        self.origin: Origin | None = None
        #: Why it is not known, a sentence; "" where it is, or is yet to come.
        self.lost = ""
        self.pending: list[Entry] = []
        self.orders, self.steering = Orders(), Steering(loop, threads)
        loop.goal = self._goal
        loop.regimen.precision.note = note
        loop.rate.begins_run = lambda: self.orders.goal is None
        self.steering.evaluates = loop.rate.valid = valid is not None
        self.worker = Worker(self._burst, self._crashed, lambda: self.orders.going)
        loop.between_batches = self._between_batches
        #: How all stood when the evaluation under way began, if that is one that the run made due.
        self._standing: Standing | None = None
        self.failure: BaseException | None = None
        self._wish, self._tell = wish, tell
        loop.watch.note = self.note = note
        self.evaluations = Evaluations(loop, valid, seed, wish, note)
        # In this order they are put back: the data may refuse, and the others draw random numbers.
        self.parts: dict[str, Stateful] = {
            "data": loop.batches, "form": Form(loop), "optimizer": Moves(loop), "weights": Weights(loop),
            "regimen": loop.regimen, "loop": loop, "steering": self.steering, "trainer": self.evaluations,
            "random": Randomness(),
        }  # fmt: skip
        self.timeline = Timeline(loop, self.steering, self.parts, memory=memory, note=note)
        #: Writes checkpoints; None for none.
        self.autosave: Autosave | None = None
        self._crowd = Crowd()
        self._device = loop.objective.device
        self._streams = Streams.seeded(seed, self._device)
        self._asked: dict[str, str] = {}
        self._asking = threading.Lock()
        self._borrowing = self._telling = False
        self._ending = ""
        #: How many pulses there were; when the last one was, and when one was last thought of [s].
        self._pulses, self._pulsed, self._checked = 0, 0.0, 0.0
        #: Whether the end of the run was moved, and whether the schedule is still to follow it.
        self._end_moved = self._end_news = False
        end_at_exit(self)

    def _goal(self) -> int:
        """Return how many epochs the run, or else the next one, will have completed when it is done."""
        goal = self.orders.goal
        return self.loop.epochs + self._wish("epochs") if goal is None else goal

    @property
    def threads(self) -> int:
        """How many threads torch uses in training."""
        return self.steering.threads

    # -- any thread

    def at_step(self, work: Callable[[], Any], looks: bool = False) -> Future[Any]:
        """Have `work()` done on the training thread between two steps.

        Random numbers that it draws and modes that it sets (`model.eval()`) disturb no training. Its result
        is there once all that was borrowed for it is given back, or at once where training goes on.

        Parameters
        ----------
        looks : it only looks at the model, and need not wait for the end of an evaluation.
        """

        def apart() -> Any:
            with self._borrowed(), untouched_rng(), modes_kept(self.loop.model):
                return work()

        return self.worker.job(apart, looks)

    def travel(self, work: Callable[[Timeline], Any]) -> Future[Any]:
        """Pause, have `work(timeline)` done between two steps, and tell where the run is after it."""
        self.orders.pause()

        def gone() -> Any:
            with self._borrowed():
                self.timeline.begin()
                self._apply()
                try:
                    return work(self.timeline)
                finally:
                    self._arrived()

        return self.worker.job(gone)

    def take_step(self) -> None:
        """Take a step, evaluate where that is due, and tell; for the training thread, between runs."""
        if self.evaluations.due(self.loop.step()):
            self._evaluate_due()
        self._publish_in_time()

    def skip(self) -> int:
        """Leave out the next batch, and write it down; for the training thread."""
        self.timeline.before_change()
        entry = Entry(self.loop.steps, "skip", 1, count := self.loop.skip(), "code")
        self.steering.ledger.add(entry)
        self.timeline.changed([entry])
        return count

    def evaluate(self) -> Evaluation:
        """Evaluate now, and tell; for the training thread."""
        found = self.evaluations.make(self.timeline.line.name)
        self._tell(**self.evaluations.facts())
        self._publish()
        return found

    # -- the training thread

    def _burst(self) -> None:
        """Take steps and do jobs until there is nothing to do; then tell how it ended."""
        if self.orders.going or self.worker.has_jobs:
            with self._borrowed():
                self._run()
            self.worker.deliver()
        # Told when all is given back: an observer finds the model as its owner left it.
        ending = self.orders.ending
        if ending and not self.orders.going and ending != self._ending:
            self._ending = ending
            if ending != "failed":
                self.failure = None
            self._publish(status=ending)

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[None]:
        """Take model, random generators and threads for training; give them back as they were."""
        if self._borrowing:
            yield
            return
        model, theirs = self.loop.model, Streams.now()
        with on_device(model, self._device), modes_kept(model), torch_threads(self.threads):
            self._borrowing = True
            self._streams.install()
            model.train()
            self.loop.freezing.hold(anew=True)
            try:
                yield
            finally:
                self._streams = Streams.now()
                theirs.install()
                self._borrowing = False

    def _run(self) -> None:
        orders, worker, loop = self.orders, self.worker, self.loop
        if said := loop.refresh():
            self.note(said)
        # A burst that began at rest, for a job, ends with it: what a run begins with is done in a burst of its own.
        run = orders.going
        if run:
            self.failure, self._ending = None, ""
            self._crowd.start()
            if not loop.steps:
                self.steering.run_begins(orders.runs)
                self.origin = Origin.of(loop, self.steering, len(self.timeline.line.changes))
            self.timeline.begin()
            if self._asked:
                self._apply()
            self._put_entries(lambda: self.steering.run_begins(orders.runs))
            self._publish(error="", traceback="", status="running")
        worker.begun()
        while True:
            worker.do_jobs(hold=not (run and orders.going))
            if not (run and orders.going):
                self._apply_at_rest()
                if self.autosave is not None and not orders.going:
                    self.autosave.at_end(orders.ending)
                return
            worker.deliver()
            try:
                if self._asked:
                    self._apply()
                if self._end_news:
                    self._follow_end()
                while self.pending and self.pending[0].step <= loop.steps and orders.going:
                    make_again(self, self.pending.pop(0))
                if self.evaluations.owed:
                    self._standing = Standing(loop.model)
                    with contextlib.suppress(_GivenUp):
                        self._evaluate_due()
                        self.evaluations.owed = False
                elif loop.regimen.groups.used_up:
                    orders.finish()
                elif orders.proceed(loop.steps, loop.epochs, loop.regimen.groups.midway):
                    self.evaluations.owed = self.evaluations.due(loop.step())
                    self.timeline.after_step()
                    if self.autosave is not None:
                        self.autosave.after_step()
            except BaseException as error:  # noqa: BLE001 - becomes a fact
                self._fail(error)
            self._standing = None
            self._publish_in_time()

    def _between_batches(self) -> None:
        """Let those who look have their turn in an evaluation, and wishes; end it where the run is to pause."""
        # They are to see the weights that are trained, not their average.
        plain = not self.loop.regimen.averaging.on
        if plain:
            self.worker.do_looks()
        if self._standing is None:
            return
        if not self.orders.going:
            raise _GivenUp
        if plain:
            self._apply_early(self._standing)

    def _evaluate_due(self) -> None:
        found = self.evaluate()
        said = self.loop.rate.evaluated(found.figures, self.loop.steps)
        if said:
            self.note(said)
        why = self.loop.regimen.evaluated(found.figures)
        if why and self.orders.going:
            self._stop_early(why)

    def _stop_early(self, why: str) -> None:
        """End the run, say why, and put the best weights back where that is wished for."""
        why += self.loop.regimen.restore_best()
        rule = self.loop.regimen.stopping.rule
        entry = Entry(self.loop.steps, "early_stopping", rule, rule, "early stopping", why)
        self._put_entries(lambda: self.steering.ledger.add(entry))
        # The weights may be others than steps taken again would give.
        self.timeline.take("change")
        self.note(why)
        self.orders.finish()

    def _arrived(self) -> None:
        """Tell where the run is after it was taken somewhere else."""
        self.orders.rewound(self.loop.epochs)
        # There the schedule may end where the run ended once.
        self._end_news = self._end_moved
        self.evaluations.arrived(self.timeline.spans)
        self.failure, self._ending = None, "" if self._ending != "paused" else "paused"
        self._tell(
            error="", traceback="", applied=self.steering.applied(), rejected=dict(self.steering.rejected),
            wishes=self.steering.wishes(), **self.evaluations.facts(),
        )  # fmt: skip
        self._publish()

    def _fail(self, error: BaseException) -> None:
        self.orders.fail()
        self.failure = error
        trace = "".join(traceback.format_exception(error))
        self._tell(error=in_one_line(error, bare=NotFinite), traceback=trace)

    def _crashed(self, error: BaseException) -> None:
        """Tell of an exception outside of any step, as where the model cannot be moved to the device."""
        self._fail(error)
        self._ending = "failed"
        self._publish(status="failed")

    def _publish_in_time(self) -> None:
        """Tell where the run is, as often as views draw: after the step whose end comes nearest to that."""
        now = time.perf_counter()
        step, self._checked = now - self._checked, now
        # The steps before an evaluation are not to be seen only after it.
        soon = self.evaluations.owed and self.loop.evaluation_cost > PULSE / 4
        if soon or now - self._pulsed >= PULSE - min(step, PULSE) / 2:
            self._publish()

    def _publish(self, **first: Any) -> None:
        """Tell where the run is, then `first`, then the pulse."""
        loop = self.loop
        self._pulsed = time.perf_counter()
        line = self.timeline
        if loop.rate.plan is not None:
            # The rate moves by itself.
            first = {"applied": self.steering.applied(), **first}
            if loop.rate.ended:
                self.note(loop.rate.ended)
        self._tell(
            steps=loop.steps, epoch=loop.epoch, loss=loop.loss, layer_stats=loop.layer_stats,
            line=line.line.name, branches=line.branches, snapshots=line.snapshots, **first,
        )  # fmt: skip
        if self._telling:
            return  # an observer of the pulse asked for what is told here: no pulse within a pulse
        self._telling = True
        try:
            self._pulses += 1
            self._tell(pulse=self._pulses)
        finally:
            self._telling = False
        if self.threads > 1 and self._pulses % 16 == 0:
            # A cell that used torch meanwhile has given the main thread a pool again.
            self.worker.free_main_pool()
        if said := self._crowd.note(self.threads if self._device.type == "cpu" else 1):
            self.note(said)
