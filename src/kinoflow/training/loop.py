"""The one training loop: what a room hands over, and what comes back.

A step takes a batch of samples (whose order is a permutation of each epoch), cut over processes and micro batches; its
gradient is that of the mean over the whole batch. Everything random is a function of counters, and all that is not lies
in the saved state: a training that was killed ends with the same bytes as one that was not.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import reduce
from itertools import tee
from operator import add
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError, DataError
from kinoflow.options import resolved
from kinoflow.progress import Progress, log
from kinoflow.training import checkpoint
from kinoflow.training.devices import arithmetic, device_of, mixed, same_chances, seed_strays
from kinoflow.training.distributed import Team, team
from kinoflow.training.draws import Draw, Order
from kinoflow.training.events import Events
from kinoflow.training.feed import Micro, batches, micros
from kinoflow.training.groups import Group
from kinoflow.training.history import History
from kinoflow.training.kept import BEST, LAST, numbered
from kinoflow.training.meter import DivergedError, Meter
from kinoflow.training.norm import ghost, synchronised
from kinoflow.training.options import TrainingOptions
from kinoflow.training.requeue import requeue
from kinoflow.training.schedule import Plan, base_rate, share
from kinoflow.training.seeds import name_places, sample_keys, seed_of
from kinoflow.training.state import State, finite
from kinoflow.training.stop import Stop, heard
from kinoflow.training.update import Update

__all__ = ["Draw", "Group", "Trainee", "fit"]

IN_A_ROW = 10  # skipped steps that end a training
SLOW = 1.0  # seconds of a step, beside which it costs nothing that processes agree and devices are waited for


class Trainee(Protocol):
    """What a room hands over to be trained. Derive from it: what is optional then has a default.

    While it is trained, ``model`` is on the training's device and in training mode (for `validate`: in eval mode).
    """

    model: nn.Module
    groups: Sequence[Group]
    samples: int  # training samples, numbered from 0

    def load(self, draws: list[Draw]) -> Any:
        """Return a batch, on the CPU: tensors in dicts, tuples and lists. A pure function of the draws."""
        ...

    def losses(self, batch: Any) -> Mapping[str, Tensor]:
        """Return named means over the batch (scalars), weights already in them; their sum is minimised."""
        ...

    def scores(self, batch: Any) -> Mapping[str, Any]:
        """Return other means over the batch to be recorded, from the last forward pass: numbers, or scalars on the device."""
        return {}

    def validate(self) -> Mapping[str, float] | None:
        """Return numbers of the model as it is; the first decides which weights are best (higher is better).

        Called in every process, without gradients; what the first process returns counts.
        """
        return None

    def show(self, step: int) -> Mapping[str, np.ndarray]:
        """Return pictures (H, W, 3) and videos (T, H, W, 3), uint8, by name, of what is learnt after so many steps.

        Asked for every `training.show_every` epochs where TensorBoard's file is written, in the first process alone, in eval
        mode and without gradients. It must not wait for other processes, nor change weights.
        """
        return {}

    def weigh(self, draws: list[Draw]) -> Mapping[str, float]:
        """Return what the means over these draws weigh in those over a batch that is cut, by the names of losses and scores.

        Those without a name here weigh as many as there are draws. Asked only where a batch is cut over processes or micro
        batches; a pure function of the draws, as `load` is.
        """
        return {}

    def order(self, epoch: int, seed: int) -> Sequence[int] | None:
        """Return the sample numbers of an epoch, `samples` of them, repeats allowed; None: a permutation."""
        return None

    def rate(self, step: int, plan: Plan) -> float | None:
        """Return the learning rate of a step (from 0) as a share of the base rate; None: as the options say."""
        return None


def fit(
    trainee: Trainee,
    options: TrainingOptions,
    seed: int,
    place: Path,
    name: str,
    *,
    device: str = "auto",
    events: Path | None = None,
) -> History:
    """Train ``trainee.model`` (in place), from where the state in ``place`` left off; return what was recorded.

    place: a work folder (see workplace); name: for progress, as "train kitchen/tsm seed 0"; events: folder for
    TensorBoard's file. Afterwards the model holds the weights to keep, on the device, in eval mode. Started by torchrun,
    each process calls it alike; the first writes. Raises DataError or ConfigError if the training cannot be run, or
    diverges.
    """
    with team(device) as processes:
        chosen = device_of(device, processes.local)
        with arithmetic(chosen, options.threads), synchronised(trainee.model) if processes.size > 1 else nullcontext():
            return _Training(trainee, options, seed, Path(place), name, chosen, processes, events).run()


class _Training:
    """A training under way."""

    def __init__(
        self,
        trainee: Trainee,
        options: TrainingOptions,
        seed: int,
        place: Path,
        name: str,
        device: torch.device,
        processes: Team,
        events: Path | None,
    ):
        self.trainee, self.options, self.seed, self.name = trainee, options, seed, name
        self.place, self.device, self.team, self.model = place, device, processes, trainee.model.to(device)
        self.plan, self.precision = Plan.of(trainee.samples, options), mixed(device, options.precision)
        self.update = Update(trainee.groups, self.model, options, device, processes)
        self.meter, self.history = Meter(processes, device), History()
        self.events = Events(events if processes.first else None)
        self.state = State(place, options.save_minutes, resolved(options), seed, trainee.samples)
        self.drops = name_places(self.model)
        self.done, self.rate = options.start * self.plan.unit, 0.0  # steps; the learning rate of the last one
        self.skipped = 0  # steps among them, as far as was told
        self.validated = True  # whether a validation that was due after the last step is done
        self.every = 1  # steps until all look again whether a signal came to any
        self.seen = 0, 0.0  # when they looked last: step and time

    def run(self) -> History:
        """Train to the end; return the history."""
        self.team.agree(self.model)
        self._resume()
        self.team.wait()  # nobody writes before everybody has read
        try:
            if self.done < self.plan.steps:
                with heard() as stop:
                    self._steps(stop)
        except DivergedError as error:
            raise DataError(f"{self.name}: {error}: {self._advice()}") from None
        finally:
            self.events.close()
        self._keep()
        return self.history

    def _steps(self, stop: Stop) -> None:
        start, self.seen = self.done, (self.done, time.monotonic())
        order = Order(self.plan, self.seed, getattr(self.trainee, "order", None))
        passes, ahead = tee(micros(order, start, self.options, self.team))  # workers load ahead of the steps
        feed = batches(self.trainee.load, ahead, self.options.workers, self.device)
        self.update.train()
        if not self.validated:
            self._record(self._validate())
            self._show()
        with Progress(self.name, self.plan.steps - start, "steps") if self.team.first else nullcontext() as progress:
            for one, batch in zip(passes, feed, strict=True):
                self._pass(one, batch)
                if one.last:
                    self._step(stop)
                    if progress:
                        progress.step()

    def _pass(self, one: Micro, batch: Any) -> None:
        """Do one forward and backward pass."""
        if one.number == 0:
            self.update.begin()
        head = one.draws[0]
        seed_strays(self.device, seed_of(head.seed, head.epoch, head.position))
        keys = sample_keys(one.draws, self.device) if self.drops else nullcontext()
        with keys, ghost(not one.count), self.precision:
            factors = self._factors(one)
            losses = _times(self.trainee.losses(batch), factors)
            total = reduce(add, losses.values())
        scores = getattr(self.trainee, "scores", None)
        with torch.no_grad():
            found = _times(scores(batch) if scores else {}, factors)
        self.update.backward(total, one.count / len(one.step))
        self.meter.add(self.done, one.count, losses, found)

    def _factors(self, one: Micro) -> dict[str, float]:
        """Return what turns means over a part of a batch into such that the numbers of samples weigh rightly, by name."""
        weigh = getattr(self.trainee, "weigh", None)
        if weigh is None or one.count in (0, len(one.step)):
            return {}
        part, whole = weigh(one.draws), weigh(one.step)
        return {name: part[name] / (whole[name] or 1.0) * len(one.step) / one.count for name in whole}

    def _step(self, stop: Stop) -> None:
        """Change the weights; then record, validate and save what is due."""
        self.rate = base_rate(self.options) * self._share()
        self.update.step(self.rate)
        self.done += 1
        plan, options, done = self.plan, self.options, self.done
        row, validation = plan.logs(done, options.log_every), plan.validates(done, options.validate_every)
        epoch, numbers = done % plan.per_epoch == 0, plan.comes(done, options.checkpoint_every)
        asked = self.team.size == 1 and stop.asks  # several processes agree on that first
        if not (row or validation or epoch or numbers or self._shows or asked or done % self.every == 0):
            return
        self.meter.read()
        self._count_skipped()
        if epoch:
            self.meter.end_epoch()
        if numbers and self.team.first:
            checkpoint.save(self.place / numbered(done // plan.unit, options), self.model, {})
        if validation and done < plan.steps:
            self._give_way(stop)
        if row or validation:
            self._record(self._validate() if validation else {})
        self._show()
        stopping, late, slow = (
            self.team.any(x, self.device) for x in (stop.signal is not None, stop.late, self._slow())
        )
        self.every = 1 if slow else self.meter.every
        if done == plan.steps or self.state.due or late or (stopping and self.state.quick):
            self._save()
        if done < plan.steps and (stopping or (late and self._another_turn(stop))):
            stop.obey()

    def _count_skipped(self) -> None:
        """Tell of steps that were skipped; raises DivergedError if too many were in a row."""
        skipped, row = map(int, self.update.skipped.tolist())
        if row >= IN_A_ROW:
            raise DivergedError(f"the gradients of the last {row} steps are no finite numbers")
        if skipped > self.skipped and self.team.first:
            text = "%s: %d steps so far are skipped: their gradients are no finite numbers"
            log.warning(text, self.name, skipped)
        self.skipped = skipped

    def _give_way(self, stop: Stop) -> None:
        """Obey a signal before a validation, which may take longer than SLURM gives notice: it is the first thing later."""
        stopping, late = (self.team.any(x, self.device) for x in (stop.signal is not None, stop.late))
        if late or (stopping and self.state.quick):
            self._save(validated=False)
        if stopping or (late and self._another_turn(stop)):
            stop.obey()

    def _slow(self) -> bool:
        """Whether steps take so long that none should pass before this process looks whether a signal came."""
        steps, seconds = self.done - self.seen[0], time.monotonic() - self.seen[1]
        self.seen = self.done, time.monotonic()
        return seconds > SLOW * steps

    def _another_turn(self, stop: Stop) -> bool:
        """Go back into SLURM's queue, where what was just saved will be continued; return whether that worked."""
        stop.late = False
        if self.team.first:
            log.info("%s: the time limit is near: saved after step %d of %d", self.name, self.done, self.plan.steps)
        return self.team.from_first(requeue() if self.team.first else None)

    def _share(self) -> float:
        own = getattr(self.trainee, "rate", None)
        found = own(self.done, self.plan) if own else None
        return share(self.done, self.options, self.plan, self.meter.epochs) if found is None else found

    def _record(self, validation: Mapping[str, float]) -> None:
        head = {"step": self.done, "epoch": -(-self.done // self.plan.per_epoch), "learning_rate": self.rate}
        means = {f"train/{name}": value for name, value in self.meter.end_row().items()}
        if self.skipped:
            means["train/skipped"] = self.skipped
        self.history.rows.append(head | means | {f"validation/{name}": float(v) for name, v in validation.items()})
        self.events.write(self.history.rows)

    def _validate(self) -> Mapping[str, float]:
        """Validate; keep the weights if they are the best so far. Return the numbers."""
        validate = getattr(self.trainee, "validate", None)
        self.model.eval()
        with torch.no_grad():
            numbers = self.team.from_first(validate() if validate else None)
        self.update.train()
        if not numbers:
            if self.options.keep == "best":
                raise ConfigError("training.keep: best needs a validation, and there is none; take last")
            return {}
        if self.team.first:
            said = ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
            log.info("%s: step %d of %d: %s", self.name, self.done, self.plan.steps, said)
        if self.history.validated(self.done, numbers) and self.team.first:
            checkpoint.save(self.place / BEST, self.model, {})
        return numbers

    @property
    def _shows(self) -> bool:
        """Whether pictures are due after the last step."""
        every = self.options.show_every
        return every is not None and self.plan.validates(self.done, every)

    def _show(self) -> None:
        """Write pictures where some are due; weights and random states stay as they are."""
        show = getattr(self.trainee, "show", None)
        if not (show and self._shows and self.events.folder):
            return
        self.model.eval()
        with torch.no_grad(), same_chances(self.device):
            self.events.show(self.done, show(self.done))
        self.update.train()

    def _save(self, validated: bool = True) -> None:
        if not finite(self.update.trained):
            raise DivergedError(f"the weights after step {self.done} are no finite numbers")
        if self.team.first:
            values = {
                "done": self.done,
                "rate": self.rate,
                "validated": validated,
                "meter": self.meter.state(),
                "rows": self.history.rows,
                "best": self.history.best,
            }
            self.state.save(self.update.state() | values)
        self.state.saved = time.monotonic()

    def _resume(self) -> None:
        if self.team.first:
            self._say_rate()
        state = self.state.load(self.device)
        if state is None:
            return
        self.done, self.rate, self.validated = state["done"], state["rate"], state["validated"]
        self.update.resume(state)
        self.skipped = int(self.update.skipped[0])
        self.meter.resume(state["meter"])
        self.history.rows, self.history.best = state["rows"], state["best"]
        self.events.resume(self.history.rows, self.done if self.validated else self.done - 1)
        if self.team.first:
            log.info("%s: continues after step %d of %d", self.name, self.done, self.plan.steps)

    def _say_rate(self) -> None:
        scaled = f" ({self.options.learning_rate:g} for {self.options.lr_at_batch})" if self.options.lr_at_batch else ""
        text = "%s: %d samples, %d steps of %d, learning rate %g%s"
        log.info(text, self.name, self.plan.samples, self.plan.steps, self.plan.batch, base_rate(self.options), scaled)
        if (spare := self.team.size - self.plan.batch) > 0:
            text = (
                "%s: a step has %d of the samples that are cut over processes, so %d of %d processes have nothing to do"
            )
            log.warning(text, self.name, self.plan.batch, spare, self.team.size)

    def _advice(self) -> str:
        lower = f"lower training.learning_rate (now {self.options.learning_rate:g})"
        clip = f"lower training.clip (now {self.options.clip:g})" if self.options.clip else "set training.clip"
        exact = "" if self.options.precision == "float32" else ", or take precision: float32"
        kept = f"; the state before it stays in {self.state.path}" if self.state.path.exists() else ""
        return f"{lower}, or {clip}{exact}{kept}"

    def _keep(self) -> None:
        """Leave the weights to keep in the model, and the others in the work folder."""
        if self.options.keep == "best":
            if self.team.first:
                checkpoint.save(self.place / LAST, self.model, {})
            self.team.wait()  # for the first process to have written them
            path = self.place / BEST
            checkpoint.load_into(self.model, checkpoint.read(path)[0], path)
        self.model.eval()


def _times(values: Mapping[str, Any], factors: Mapping[str, float]) -> Mapping[str, Any]:
    """Return values times their factors, by name; one without a factor stays as it is."""
    return {name: value * factors[name] if name in factors else value for name, value in values.items()}
