"""Options of training, the same for every room; a room changes defaults in a subclass of its own."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kinoflow.options import Options, option

Milestone = Annotated[int, Field(ge=1, le=10**9)]
TESTING = ("test", "test_on")  # options of a run that change nothing of its training
LENGTHS = ("steps", "epochs")  # of which one is given
CHECKPOINTS = "checkpoints"  # the folder, beside model.safetensors, of what checkpoint_every keeps


class TrainingOptions(Options):
    """How a network is trained: for how long, in which steps, at which rate; what is kept.

    What counts epochs (milestones, warm_up ...) counts optimisation steps where the length is given in steps.
    """

    epochs: int | None = option(
        50, "length: passes over the training samples; give this or steps", "epochs", ge=1, le=100000
    )
    steps: int | None = option(None, "length: optimisation steps; give this or epochs", "steps", ge=1, le=10**9)
    start: int = option(
        0,
        "how much of the length counts as done before: samples and learning rates are those of what is left (to go on, from"
        " its weights, with a training that ended elsewhere)",
        "epochs",
        ge=0,
        le=10**9,
    )
    batch: int = option(64, "samples of one step, over all processes and micro batches", "samples", ge=1, le=65536)
    accumulate: int = option(
        1,
        "micro batches that each process makes of its part of a step, one after the other: saves memory",
        "",
        ge=1,
        le=65536,
    )
    drop_last: bool = option(True, "leave out the last samples of an epoch where they do not fill a step", "")
    optimiser: Literal["sgd", "adam", "adamw"] = option(
        "sgd", "the optimiser; weight decay is part of the gradient with sgd and adam, decoupled with adamw", ""
    )
    learning_rate: float = option(0.01, "the learning rate", "", gt=0, le=1000)
    lr_at_batch: int | None = option(
        None,
        "the batch that learning_rate is meant for: another batch scales it in proportion; empty: it is taken as it is",
        "samples",
        ge=1,
        le=10**6,
    )
    momentum: float = option(0.9, "momentum of sgd", "", ge=0, lt=1)
    nesterov: bool = option(False, "Nesterov's momentum (sgd)", "")
    weight_decay: float = option(5e-4, "weight decay", "", ge=0, le=10)
    clip: float | None = option(
        20.0, "largest L2 norm of a step's gradient, over all parameters; empty: any", "", gt=0, le=1e9
    )
    schedule: Literal["constant", "step", "linear", "cosine", "one_cycle", "plateau"] = option(
        "step",
        "how the rate changes: step: times gamma at the milestones; linear, cosine: down to final_rate; one_cycle: up over the"
        " first 30 %, then down by cosines; plateau: times gamma when an epoch's loss has not fallen for long",
        "",
    )
    per: Literal["epoch", "step"] = option("epoch", "when step, linear, cosine and one_cycle change the rate", "")
    milestones: tuple[Milestone, ...] = option(
        (), "epochs after which schedule: step lowers the rate; empty: 40 % and 80 % of the length", "epochs"
    )
    gamma: float = option(0.1, "factor of schedule: step and plateau", "", gt=0, le=1)
    patience: int = option(1, "epochs without a lower loss that schedule: plateau bears", "epochs", ge=0, le=1000)
    final_rate: float = option(
        0.0,
        "where linear and cosine end and what plateau does not go below, as a share of the rate",
        "share",
        ge=0,
        le=1,
    )
    warm_up: int = option(0, "the rate grows evenly from step to step for so long first", "epochs", ge=0, le=10**9)
    planned: int | None = option(
        None, "length that the schedule is planned for; empty: the training's own", "epochs", ge=1, le=10**9
    )
    precision: Literal["float32", "bfloat16", "float16"] = option(
        "float32", "arithmetic of forward passes (mixed precision; float16 on CUDA only)", ""
    )
    validate_every: int | None = option(
        None, "how often the model is validated, besides at the end; empty: after every epoch", "epochs", ge=1, le=10**9
    )
    log_every: int | None = option(
        None, "steps of one row of the history; empty: a row for each epoch", "steps", ge=1, le=10**9
    )
    keep: Literal["last", "best"] = option(
        "last",
        "the weights that are kept as model.safetensors: at the end, or of the best validation; where there is a validation the"
        " others lie beside it, as best.safetensors or last.safetensors",
        "",
    )
    checkpoint_every: int | None = option(
        None,
        "also keep the weights after every so many epochs, in checkpoints/epoch_00010.safetensors beside model.safetensors;"
        " empty: no others",
        "epochs",
        ge=1,
        le=10**9,
    )
    show_every: int | None = option(
        None,
        "how often pictures and short videos of what is learnt go into TensorBoard's file, besides at the end; empty: never",
        "epochs",
        ge=1,
        le=10**9,
    )
    save_minutes: float = option(
        3.0, "how often the state is saved, so that a killed training continues", "minutes", gt=0, le=1440
    )
    threads: int = option(
        1, "processor threads of torch; another number may give other weights", "threads", ge=1, le=256
    )
    workers: int = option(
        0, "processes that load samples ahead; 0 where samples lie in memory", "processes", ge=0, le=256
    )

    @model_validator(mode="before")
    @classmethod
    def _one_length_given(cls, values: Any) -> Any:
        """Where one length is given, the other's default does not count."""
        given = [name for name in LENGTHS if isinstance(values, dict) and name in values]
        if len(given) != 1 or values[given[0]] is None:
            return values
        return values | {name: None for name in LENGTHS if name not in given}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("epochs and steps: give one of them, and leave the other out (or empty)")
        if self.start >= (length := self.steps or self.epochs or 0):
            raise ValueError(f"start: a length of {length} ends there, or before")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones: they must grow")
        if self.accumulate > self.batch:
            raise ValueError(f"accumulate: a batch of {self.batch} has no {self.accumulate} micro batches")
        if self.nesterov and (self.optimiser != "sgd" or not self.momentum):
            raise ValueError("nesterov: it is for optimiser: sgd with momentum")
        if self.warm_up >= (self.planned or self.steps or self.epochs or 0):
            raise ValueError("warm_up: it must be shorter than what the schedule is planned for")
        return self
