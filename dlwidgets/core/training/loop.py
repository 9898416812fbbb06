"""The training loop: each step is taken whole or not at all."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..base.history import History
from ..base.isolation import eval_mode, run_forward
from ..base.numbers import to_seconds
from ..base.random_state import RandomMark, StrayDraws
from ..base.trees import call_model, tree_map
from ..base.words import quote_names
from ..controls.accumulate import Accumulation, add_parts, divisors
from ..controls.clipping import Clip, GradientClipper, total_norm
from ..controls.dropout import DropoutRates
from ..controls.early_stopping import Patience
from ..controls.ema import WeightAverage
from ..controls.input_scaling import InputScaling
from ..controls.lr_scale import RateFactors
from ..controls.normalise import WeightNormalisation
from ..controls.parameter_groups import follow_model, groups_by_id
from ..controls.precision import MixedPrecision
from ..controls.schedule.plan import Ahead
from ..controls.schedule.rate import Rate
from ..controls.trainable import Freezing
from ..data.batches import Batches, batch_length
from ..data.objective import Objective
from ..layers.forward_error import explain_foreign
from ..layers.framework import framework_of
from ..layers.probes import LayerMonitor
from ..scoring.evaluation import Evaluation, evaluate
from .proof import Proofs

if TYPE_CHECKING:
    from ..layers.probes import LayerStats
    from .hosted import Hosting

#: What may help where numbers grew too large, in a sentence.
HELPS = "A lower learning rate or gradient clipping often helps."
#: Buffers of more values than this are not kept for the case that a step fails: as a rule they are tables and
#: masks that no step writes.
_LARGE = 1_000_000
_AS_IT_IS = nullcontext()


def zero_gradients(optimizer: Optimizer) -> None:
    """Do what `optimizer.zero_grad()` does, without its slow entry in a profile."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        optimizer.zero_grad()  # a person's own may do more
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


class NotFinite(ArithmeticError):
    """A loss or gradient is infinite or NaN; no step was taken.

    Attributes
    ----------
    batch_is_finite : whether the batch itself holds finite numbers alone.
    batches : the batches of the step, on the device, until somebody has looked into them.
    """

    def __init__(self, sentence: str, batch_is_finite: bool = True, batches: Sequence[Any] = ()) -> None:
        super().__init__(sentence)
        self.batch_is_finite, self.batches = batch_is_finite, batches


class Diverged(ArithmeticError):
    """The loss exploded, though it is finite."""


class Loop:
    """Trains a model one step at a time.

    A step draws a batch, computes the loss, clips the gradients and moves the weights, as the plain loop

        loss = loss_function(model(X), y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()

    does, with the same result bit for bit. If anything in it raises, the batch is put back, buffers and
    random numbers are as before, and the weights have not moved (unless the optimizer itself raised
    half-way). The model must be in train mode and on the objective's device; that is the caller's affair.

    Attributes
    ----------
    parameters : the model's, listed anew whenever they may have changed.
    steps, epochs : optimizer steps taken, and epochs completed.
    freezing, clip, rate, rate_factors, accumulation, precision, normalisation, dropout, scaling, average, patience :
        what trains, and what a step or an evaluation has beside the plain loop; to be changed between two steps.
    proofs : compares what is frozen with what it was when it was frozen.
    goal : returns how many epochs the run, or the next one, will have completed when it is done.
    epoch_ended : whether an epoch ended with the last call of `step()`.
    watch, layer_stats : measures the layers in some of the steps, once switched on; what it measured last.
    evaluation_cost : seconds that the last evaluation took.
    waited : seconds that the steps have waited for their batches in all.
    look : shown the first batch of the next step, once, and how many batches the step has: see `look_next`.
    before_step : called before each step; must leave no trace.
    alone : says whether nobody else draws random numbers meanwhile, as a cell might.
    between_batches : called between two batches of an evaluation, with the model in eval mode; must leave no
        trace. What it raises ends the evaluation, of which nothing is kept.
    note : told in a sentence of what a person should know.
    host, left_for_host : what takes the steps in its stead; None where it takes them itself. What is to be put back
        into that one's optimizer, once it is there.
    """

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        optimizer: Optimizer,
        clip: Clip = Clip(),  # noqa: B008 - frozen
    ) -> None:
        self.objective, self.model = objective, objective.model
        self.batches, self.optimizer = batches, optimizer
        self.clip, self.rate, self.freezing = clip, Rate(optimizer), Freezing(self.model)
        self.proofs = Proofs(self.model, self.freezing)
        self.proofs.by_turns = self._trained_by_turns
        self.goal: Callable[[], int] = lambda: self.epochs + 1
        self.rate.ahead = self.ahead
        self.history = History()
        self.steps = self.epochs = 0
        self.epoch_ended = self._taken = False
        #: The steps before that under way, and those left of its epoch then, for whoever asks meanwhile.
        self._under_way: tuple[int, int | None] = (-1, None)
        #: The random numbers before the batches of a failed step, and whether these were left out since.
        self._undrawn: torch.Tensor | None = None
        self._skipped = False
        self.evaluation_cost = self.waited = 0.0
        self.watch = LayerMonitor()
        self.layer_stats: LayerStats | None = None
        self._gradients = GradientClipper(self.model)
        # What a step can have beside the plain loop. Switched off, none of them touches a number.
        self.accumulation, self.precision = Accumulation(batches), MixedPrecision(objective.device)
        self.normalisation, self.dropout = WeightNormalisation(self.model), DropoutRates(self.model)
        self.scaling, self.rate_factors = InputScaling(), RateFactors(self.model)
        self.average, self.patience = WeightAverage(self.model), Patience(self.model, self._tensors_beside)
        self._mark, self._stray = RandomMark(), StrayDraws()
        self.parameters: list[nn.Parameter] = list(self.model.parameters())
        self.look: Callable[[Any, int], None] | None = None
        self.before_step: Callable[[], object] = lambda: None
        self.alone: Callable[[], bool] = lambda: True
        self.between_batches: Callable[[], None] = lambda: None
        self.note: Callable[[str], None] = lambda sentence: None
        self.host: Hosting | None = None
        self.left_for_host: dict[str, Any] = {}
        #: What else is known of the epoch that ended, for the row of its evaluation.
        self._beside_evaluation: dict[str, float] = {}
        self.refresh()

    def _tensors_beside(self) -> dict[str, torch.Tensor]:
        return self.objective.companions.all_tensors()

    def _trained_by_turns(self, tensor: torch.Tensor) -> bool:
        """Say whether a step may switch a tensor's gradient off and on."""
        if self.objective.custom is None or (tensor.grad is not None and not tensor.grad.any()):
            return False
        optimizers = (self.optimizer, *self.objective.companions.optimizers.values())
        return any(id(tensor) in groups_by_id(one) for one in optimizers)

    def loss_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the loss that the optimizer is to move."""
        return [one for one in self.objective.companions.loss_parameters() if one.requires_grad]

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        epochs = self.history.columns["epoch"].values
        return int(epochs[-1]) if len(epochs) else 0

    @property
    def loss(self) -> float:
        """The training loss of the last step; NaN before the first."""
        losses = self.history.columns["loss"].values
        return float(losses[-1]) if len(losses) else math.nan

    def refresh(self) -> str:
        """Note the model's tensors anew; say what that freezes or unfreezes.

        A person may have changed the model's modules while nothing ran.
        """
        said = self.freezing.reapply(self.optimizer)
        self.rate_factors.settle(self.rate.groups)
        self.proofs.stale = True
        self._gradients.renew()
        self.normalisation.renew()
        self.average.renew()
        self.parameters = list(self.model.parameters())
        self._constraints = framework_of(self.model).constraints(self.model)
        if self.objective.added is not None:
            self.objective.added.renew()
        beside = self.objective.companions
        self._beside = [one for one in beside.parameters().values() if one.requires_grad]
        buffers = [*self.model.buffers(), *(b for root in beside.roots.values() for b in root.buffers())]
        self._buffers = [buffer for buffer in buffers if buffer.numel() <= _LARGE]
        # The optimizer may have been made, or used, while the model was elsewhere.
        for parameter, state in self.optimizer.state.items():
            for name, value in state.items():
                # Its count of steps lies on the CPU as a rule.
                if isinstance(value, torch.Tensor) and value.device != parameter.device and name != "step":
                    state[name] = value.to(parameter.device)
        return said

    def follow_model(self) -> tuple[str, str]:
        """Train the parameters that a person put in; say what changed.

        The optimizer is given what is new in the model, as `model.fc = nn.Linear(8, 3)`, in the place of what
        left it. Returns that in a clause, and what `refresh` said.

        Raises
        ------
        ValueError : the optimizer does not take one of them.
        """
        try:
            now = list(self.model.parameters())
        except RuntimeError:
            return "", ""  # changed at this very moment: next time
        if len(now) == len(self.parameters) and all(map(operator.is_, now, self.parameters)):
            return "", ""
        before = self.parameters
        # First what is frozen by the wish, lest the optimizer is given it.
        frozen = self.refresh()
        said = follow_model(self.optimizer, self.model, before)
        self.rate_factors.settle(self.rate.groups)
        return said, frozen

    def step(self) -> bool:
        """Take one step; return False where the epoch had no batch left.

        Raises
        ------
        NotFinite : the loss or a gradient is infinite or NaN, with clipping or without.
        ValueError : a whole epoch gave no batch.
        Exception : whatever the model, the loss or the data raised.
        """
        self.before_step()
        self._under_way = (self.steps, self._steps_left())
        try:
            return self._take_step() if self.host is None else self.host.take_step()
        finally:
            self._under_way = (-1, None)

    def took(
        self, loss: float, size: int, rate: float, seconds: float, measured: Mapping[str, float]
    ) -> None:
        """Take notice of a step that its host took."""
        self.epoch_ended, self._taken, self._beside_evaluation = False, True, {}
        norms = self._gradients.clip(self.clip, self.parameters) or {"grad_norm": math.nan}
        self.normalisation.project()
        self.average.update()
        self._write_down(loss, size, rate, seconds, {**norms, **measured})

    def epoch_over(self, figures: Mapping[str, float]) -> None:
        """Take notice that its host's epoch ended, with these figures."""
        self._end_epoch()
        self._beside_evaluation = dict(figures)
        if "valid_loss" in figures:
            self.history.evaluation(self.steps, **figures)

    def _write_down(
        self, loss: float, size: int, rate: float, seconds: float, measured: Mapping[str, float]
    ) -> None:
        # Before the count of steps: whoever reads that on another thread finds the step here.
        self.history.step(
            epoch=self.epochs + 1, loss=loss, lr=rate, batch_size=size, seconds=seconds, **measured,
        )  # fmt: skip
        self.steps += 1
        self.layer_stats = self.watch.after(self.steps) or self.layer_stats
        self.rate.after_step(loss)

    def look_next(self, look: Callable[[Any, int], None]) -> None:
        """Have the next step's first batch shown, and how many it has.

        `look` must leave no trace and not raise.
        """
        before = self.look

        def both(batch: Any, count: int) -> None:
            if before is not None and before != look:
                before(batch, count)
            look(batch, count)

        self.look = both

    def _take_step(self) -> bool:
        started = time.perf_counter()
        self.epoch_ended = False
        self._put_draws_back()
        before = None if self.batches.puts_draws_back else torch.get_rng_state()
        self._skipped = False
        if not (group := self.accumulation.take()):
            if self._taken or not self.accumulation.used_up:
                self._end_epoch()
            return False
        if self.proofs.stale:
            self.proofs.follow(self.steps)
        self._mark.set()
        drawn = time.perf_counter()
        watched = not self._stray.told and not self.alone()
        if watched:
            self._follow_draws(self._mark.torch_state, ("data", self._taken))
        buffers = [buffer.clone() for buffer in self._buffers]
        try:
            value, measured = self._learn(group)
        except BaseException:
            self._stray.forget()
            self._mark.restore()
            self.precision.abandon()
            self._undrawn = before if self._undrawn is None else self._undrawn
            self.accumulation.put_back()
            with torch.no_grad():
                for buffer, kept in zip(self._buffers, buffers):
                    buffer.copy_(kept)
            raise
        self._taken, self._undrawn = True, None
        self.waited += drawn - started
        if watched:
            self._follow_draws(torch.get_rng_state(), sum(map(batch_length, group)))
        else:
            self._stray.forget()
        seconds = time.perf_counter() - started
        self._write_down(value, sum(map(batch_length, group)), self.rate.value or 0.0, seconds, measured)
        if self.accumulation.over:
            self._end_epoch()
        return True

    def draw_between_steps(self) -> None:
        """Take notice that a change draws random numbers of the run.

        Raises ValueError: a step failed for which some were drawn already, in a clause.
        """
        self._put_draws_back()
        if self._undrawn is not None and not torch.equal(self._undrawn, torch.get_rng_state()):
            raise ValueError("a step failed whose batch drew random numbers: leave it out by skip(), or go back")
        self._undrawn = None
        self._mark.forget()
        self._stray.forget()

    def _put_draws_back(self) -> None:
        """Take back what batches drew that were left out."""
        if self._undrawn is not None and self._skipped:
            torch.set_rng_state(self._undrawn)
            self._undrawn = None

    def _follow_draws(self, state: Any, stretch: Any) -> None:
        """Say where somebody else drew random numbers."""
        if self._stray.passed(state, stretch):
            self.note(
                f"Random numbers were drawn beside the training at about step {self.steps + 1:,}, as by "
                "torch.rand() in a cell: the weights from there on are not those of the seed alone, and going back "
                "or a script gives others. torch.rand(3, generator=torch.Generator()) disturbs nothing."
            )

    def skip(self) -> int:
        """Leave out the next step's batches; return how many samples."""
        self._stray.forget()
        group = self.accumulation.take()
        self._taken = self._skipped = True
        if not group or self.accumulation.over:
            self._end_epoch()
        return sum(map(batch_length, group))

    def swap(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer from the next step on."""
        self.optimizer = optimizer
        self.rate.rebind(optimizer)
        self.refresh()

    def ahead(self) -> Ahead:
        """Return what of the run lies ahead."""
        goal, groups = self.goal(), self.accumulation
        each, left = groups.steps_in_epoch(), self._steps_left()
        here = self.steps, self.epochs
        return Ahead(self.steps_to_go(goal), max(0, goal - self.epochs), left, each, here)

    def steps_to_go(self, epochs: int) -> int | None:
        """Count the steps until `epochs` are completed; None if unknown."""
        whole, (steps, first) = epochs - self.epochs, self._under_way
        if whole <= 0:
            return 0
        each = self.accumulation.steps_in_epoch()
        first = first if steps == self.steps else self._steps_left()
        return None if each is None or first is None else first + (whole - 1) * each

    def _steps_left(self) -> int | None:
        groups = self.accumulation
        return groups.steps_left() if groups.midway else groups.steps_in_epoch()

    def progress(self, epochs: int, evaluate_every: str | int | None = None) -> dict[str, Any]:
        """Return how far a run is that is done after `epochs` epochs.

        Returns
        -------
        dict
            epoch, epochs, steps : the epoch of the last step, from 1; as given; steps taken.
            total, share : steps at the end, and 0..1 of them; None where the data does not say.
            rate : steps a second of late; None before the first.
            left : seconds to the end at this rate, evaluations included; None where it cannot be told.
        """
        steps, rate, to_go = self.steps, self.history.rate(), self.steps_to_go(epochs)
        total, left = None if to_go is None else steps + to_go, None
        if rate and total is not None:
            if evaluate_every is None:
                evaluations = 0
            elif evaluate_every == "epoch":
                evaluations = max(0, epochs - self.epochs)
            elif (seconds := to_seconds(evaluate_every)) is not None:
                evaluations = int(to_go / rate / seconds)
            else:
                evaluations = total // int(evaluate_every) - steps // int(evaluate_every)
            left = to_go / rate + evaluations * self.evaluation_cost
        return {
            "epoch": self.epoch, "epochs": epochs, "steps": steps, "total": total,
            "share": steps / total if total else None, "rate": rate, "left": left,
        }  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Return where the loop is; weights, optimizer, data say it themselves."""
        return {
            "steps": self.steps, "epochs": self.epochs, "epoch_ended": self.epoch_ended, "taken": self._taken,
            "undrawn": self._undrawn, "skipped": self._skipped,
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        """Be where the loop was; others cut the history."""
        self.steps, self.epochs, self.epoch_ended = state["steps"], state["epochs"], state["epoch_ended"]
        self._taken, self.layer_stats = state["taken"], None
        undrawn = state.get("undrawn")
        self._undrawn, self._skipped = None if undrawn is None else undrawn.clone(), state.get("skipped", False)
        self._mark.forget()
        self._stray.forget()

    def evaluate(
        self, batches: Batches, samples: int | None = None, seed: int = 0, record: bool = True
    ) -> Evaluation:
        """Return an `evaluate` of these `batches`, noted in the history."""
        began = time.perf_counter()
        # A GPU is faster with large batches; a CPU is slower (a small CNN: 200 ms with 64, 229 with 256, 309
        # with 512), and whoever looks waits for the end of one.
        size = max(64 if self.objective.device.type == "cpu" else 256, self.batches.batch_size)
        with self.averaged():
            classes = self.objective.task.classes
            found = evaluate(self.objective, batches, size, classes, samples, seed, self.between_batches)
        if record:
            self.history.evaluation(self.steps, **self._beside_evaluation, **found.figures)
        self.evaluation_cost = time.perf_counter() - began
        return found

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the model has its averaged weights."""
        return self.average.swapped_in() if self.average.on else _AS_IT_IS

    def weights(self, averaged: bool = True) -> dict[str, torch.Tensor]:
        """Return the state dict, of averaged weights where that is on."""
        with self.averaged() if averaged else _AS_IT_IS:
            found = self.normalisation.plain(self.normalisation.model.state_dict())
            return {key: v.detach().clone() if isinstance(v, torch.Tensor) else v for key, v in found.items()}

    def judge(self, figures: Mapping[str, float], samples: int | None = None) -> str | None:
        """Take in an evaluation on so many samples; say why to stop."""
        rule = self.patience.rule
        if rule is None:
            return None
        if said := self.patience.compare_on(samples):
            self.note(said)
        with self.averaged():
            return self.patience.after(figures.get(rule.metric), self.steps)

    def restore_best(self) -> bool:
        """Put the best weights back where wished for; say whether it did."""
        if not self.patience.restore(self.steps):
            return False
        decay = self.average.decay
        self.average.put(None)
        self.average.put(decay)
        self.proofs.forget()
        return True

    def best_weights(self) -> dict[str, torch.Tensor]:
        """Return the state dict of the best evaluation.

        Raises
        ------
        ValueError : none is the best so far.
        """
        if self.patience.best_step is None:
            rule = '{"metric": "valid_loss", "patience": 1000, "restore": True}'
            why = "early_stopping= says what is best, and" if self.patience.rule is None else "So far"
            raise ValueError(f"There are no best weights: {why} no evaluation was counted. One is {rule}.")
        with self.patience.swapped_in():
            return self.weights(averaged=False)

    def forward(self, inputs: Any) -> Any:
        """Return the model's output for a batch; for looking only."""
        with closing(self.outputs([inputs])) as outputs:
            return next(outputs)

    def outputs(self, batches: Iterable[Any]) -> Generator[Any]:
        """Yield the model's output for each batch; to be closed."""
        # Swapped in first: each forward begins with the weights that eval_mode has found.
        with self.averaged(), eval_mode(self.model):
            for inputs in batches:
                there = self.objective.to_device(inputs)
                try:
                    output = run_forward(self.model, lambda: self._call(there))  # noqa: B023 - called here
                except Exception as error:
                    if said := explain_foreign(error, self.model, inputs):
                        raise ValueError(said) from error
                    raise
                yield output

    def _call(self, inputs: Any) -> Any:
        """Call the model on a copy, into which it may write."""
        return call_model(self.model, tree_map(torch.clone, inputs))

    def _learn(self, group: list[Any]) -> tuple[float, dict[str, float]]:
        """Move the weights; return the loss and what else was measured."""
        value, parts, objective = 0.0, {}, self.objective
        weights = [objective.weigh(batch) for batch in group] if len(group) > 1 else []
        shares, uneven = divisors(group, objective.summed, weights)
        self.accumulation.uneven = self.accumulation.uneven or uneven
        # The mean of a batch that holds nothing, all its labels being ignored, is 0 / 0, and its gradient 0.
        may_be_empty = len(group) == 1 or (uneven and not any(weights))
        for number, (batch, divisor) in enumerate(zip(group, shares)):
            there = self.objective.to_device(batch)
            if self.look is not None:
                look, self.look = self.look, None
                look(there, len(group))
            with self.watch.forward() if not number else nullcontext(), self.precision.forward():
                loss, said = self.objective.loss(there)
            if not number:
                self.watch.see_loss(loss)
            one = loss.item()
            empty = may_be_empty and math.isnan(one) and not objective.weigh(batch)
            empty = math.isinf(divisor) or (empty and not objective.find_nonfinite(batch))
            if not math.isfinite(one) and not empty:
                raise self._not_finite(f"The loss became {one}", [there])
            if not number:
                zero_gradients(self.optimizer)
            if math.isinf(divisor):
                continue
            value, parts = value + one / divisor, add_parts(parts, said, divisor)
            self.precision.backward(loss if divisor == 1 else loss / divisor)
        if self._beside and not self.steps:
            self._tell_unmoved()
        self.precision.unscale(self.optimizer)
        if math.isnan(value) and float(total_norm(self.parameters)) != 0:
            # What the loss divides by was not known. Its NaN is in all gradients and says nothing of a layer.
            with torch.no_grad():
                for parameter in self.parameters:
                    if parameter.grad is not None:
                        parameter.grad.zero_()
            raise self._not_finite("The loss became nan", group)
        measured = self._gradients.clip(self.clip, self.parameters)
        if measured is not None and self._beside and not total_norm(self._beside).isfinite():
            measured = None
        if measured is None:
            if (skipped := self.precision.skip()) is not None:
                return value, {"grad_norm": math.nan, **skipped, **parts}
            where = self._gradients.blame()
            raise self._not_finite("The gradients became infinite or NaN", group, where)
        self.watch.before()
        kept = self.precision.step(self.optimizer)
        if self._constraints:
            with torch.no_grad():
                for constrain in self._constraints:
                    constrain()
        self.normalisation.project()
        self.average.update()
        return value, {**measured, **kept, **parts}

    def _tell_unmoved(self) -> None:
        """Say what the loss depends on beside the model and nobody moves."""
        beside = self.objective.companions
        optimizers = (self.optimizer, *beside.optimizers.values())
        moved = {id(one) for each in optimizers for group in each.param_groups for one in group["params"]}
        moved |= set(map(id, beside.loss_parameters()))  # told from the beginning
        left = [name for name, p in beside.parameters().items() if p.grad is not None and id(p) not in moved]
        if left:
            names = quote_names([name.replace("(", "").replace(")", "") for name in left])
            self.note(
                f"The loss depends on {names}, which no optimizer moves: it stays as it is. To train it, pass "
                "an optimizer that has it beside model.parameters(), or make it a part of the model."
            )

    def _end_epoch(self) -> None:
        if not self._taken:
            raise ValueError(
                "train gave no batch in a whole epoch: is it empty, or smaller than a batch that is dropped?"
            )
        self._taken, self.epoch_ended = False, True
        self.epochs += 1
        self.accumulation.after_epoch()
        self.rate.after_epoch()

    def _not_finite(self, what: str, batches: Sequence[Any], where: str = "") -> NotFinite:
        batches = [self.objective.to_device(batch) for batch in batches]
        self.layer_stats = self.watch.failed(self.steps + 1) or self.layer_stats
        helps = HELPS
        if not self.steps:
            helps = "No step came before it, so no learning rate is to blame: look at the model, the loss and the data."
        said = f"{what} in step {self.steps + 1}, which was not taken. {where}".rstrip()
        found = next(filter(None, map(self.objective.find_nonfinite, batches)), "")
        return NotFinite(f"{said} {found or helps} Then resume.", not found, batches)
