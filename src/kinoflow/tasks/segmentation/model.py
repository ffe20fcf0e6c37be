"""The hidden semi-Markov model of videos: every segment has a state, a duration and a run of Gaussian frames.

    x (B, T, D) -> log emissions (B, T, L) -> chain -> log p(x), posteriors, segmentations

Dense: the ancestor of Fried et al., "Learning to Segment Actions from Observation and Narration", 2020, with one logit for each
pair of states. Low rank: Chiu, Deng and Rush, "Low-Rank Constraints for Fast Inference in Structured Models", 2021, with
embeddings of sources and targets and one projection for both. A video may end in any state, with factor 1.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.segmentation import decoding, inference
from kinoflow.tasks.segmentation.chain import Chain, LowRank
from kinoflow.tasks.segmentation.constraints import Constraints, allow, forbidding, ordered
from kinoflow.tasks.segmentation.decoding import Decoded
from kinoflow.tasks.segmentation.factors import gaussian, log_factorials, log_poisson, low_rank, poisson_offset
from kinoflow.tasks.segmentation.inference import Posteriors
from kinoflow.tasks.segmentation.sampling import sample
from kinoflow.tasks.segmentation.spans import Span
from kinoflow.training.first_weights import generator_of

LEAST_DEVIATION = 1e-4
FREE = Constraints()


class SegmentModel(nn.Module):
    """A hidden semi-Markov model.

    states: L. width: D, columns of the features. rank: N of the transitions; None: dense. longest: K, segments have 1..K-1
    frames. duration: poisson, or geometric (segments of one frame with factor 1: a hidden Markov model, ``longest`` is 2).
    normalise_durations: let the durations that can occur sum to one. log_deviation: train the logarithm of the deviations
    instead of the deviations. tied: for each state, the row of means and rates that it reads (None: its own). kernel: plain or
    triton. seed: of the first weights.

    >>> model = SegmentModel(states=6, width=4, rank=2, longest=5)
    >>> model.log_likelihood(torch.zeros(2, 7, 4), torch.tensor([7, 3])).shape
    torch.Size([2])
    """

    def __init__(
        self,
        states: int,
        width: int,
        *,
        rank: int | None = None,
        longest: int = 20,
        duration: str = "poisson",
        normalise_durations: bool = False,
        log_deviation: bool = False,
        tied: Sequence[int] | None = None,
        kernel: str = "plain",
        seed: int = 0,
    ):
        super().__init__()
        self.states, self.width, self.rank, self.duration = states, width, rank, duration
        self.longest = 2 if duration == "geometric" else longest
        self.normalise_durations, self.log_deviation, self.kernel = normalise_durations, log_deviation, kernel
        self.tied = None if tied is None else [int(row) for row in tied]
        self._check()
        rows = states if self.tied is None else max(self.tied) + 1
        self.initial_logits = nn.Parameter(torch.empty(states))
        if duration == "poisson":
            self.log_rates = nn.Parameter(torch.empty(rows))
        self.means = nn.Parameter(torch.empty(rows, width))
        name = "log_deviations" if log_deviation else "deviations"
        self.register_parameter(name, nn.Parameter(torch.empty(width)))
        if rank is None:
            self.transition_logits = nn.Parameter(torch.empty(states, states))  # [from, to]
        else:
            self.source = nn.Parameter(torch.empty(states, width))
            self.target = nn.Parameter(torch.empty(states, width))
            self.projection = nn.Parameter(torch.empty(width, rank))
        draw(self, seed)

    def _check(self) -> None:
        if self.duration not in ("poisson", "geometric"):
            raise ConfigError(f"duration: {self.duration!r} is not known; give poisson or geometric")
        if self.kernel not in ("plain", "triton"):
            raise ConfigError(f"kernel: {self.kernel!r} is not known; give plain or triton")
        if self.longest < 2:
            raise ConfigError(f"longest: with {self.longest} no segment has a frame; give at least 2")
        if min(self.states, self.width) < 1 or (self.rank is not None and self.rank < 1):
            raise ConfigError(
                f"the model has {self.states} states, {self.width} columns, rank {self.rank}; all are at least 1"
            )
        if self.tied is not None and len(self.tied) != self.states:
            raise ConfigError(f"tied: {len(self.tied)} rows are named for {self.states} states; name one for each")

    # ---------------------------------------------------------------- what it says of videos

    def log_likelihood(
        self, x: Tensor, lengths: Tensor, constraints: Constraints | None = None, *, clip: bool = False
    ) -> Tensor:
        """Return log p(x) of videos x (B, T, D), (B,) float64 nats; -inf, without gradient, where constraints forbid all.

        clip: the published code's shortest rule, min(K, T): a segment then has fewer frames than the batch's longest video.
        """
        return inference.log_partition(self.chain(x, lengths, constraints, clip=clip), self.kernel)

    def joint(
        self,
        x: Tensor,
        lengths: Tensor,
        spans: Sequence[list[Span]],
        constraints: Constraints | None = None,
        *,
        clip: bool = False,
    ) -> Tensor:
        """Return log p(x, segmentation), (B,) float64, of spans of states, or of elements where there is an order."""
        chain, constraints = self.chain(x, lengths, constraints, clip=clip), constraints or FREE
        try:
            return decoding.joint(chain, [constraints.indices(one) for one in spans])
        except ValueError as error:
            raise DataError(str(error)) from error

    def posteriors(self, x: Tensor, lengths: Tensor, constraints: Constraints | None = None) -> Posteriors:
        """Return the posteriors over states; those of several elements of an order with one state are summed."""
        found = inference.posteriors(self.chain(x, lengths, constraints), self.kernel)
        spread = [(constraints or FREE).spread(posterior, self.states) for posterior in found[1:]]
        return Posteriors(found.log_partition, *spread)

    def viterbi(self, x: Tensor, lengths: Tensor, constraints: Constraints | None = None) -> list[Decoded]:
        """Return the best segmentation of each video."""
        return [best[0] for best in self.k_best(x, lengths, 1, constraints)]

    def k_best(self, x: Tensor, lengths: Tensor, k: int, constraints: Constraints | None = None) -> list[list[Decoded]]:
        """Return the k best segmentations of each video, best first."""
        return self._named(decoding.k_best(self._untaped(x, lengths, constraints), k), constraints)

    def sample(
        self,
        x: Tensor,
        lengths: Tensor,
        count: int,
        generator: torch.Generator,
        constraints: Constraints | None = None,
    ) -> list[list[Decoded]]:
        """Return segmentations of each video drawn from p(segmentation | video)."""
        return self._named(sample(self._untaped(x, lengths, constraints), count, generator), constraints)

    def entropy(self, x: Tensor, lengths: Tensor, constraints: Constraints | None = None) -> Tensor:
        """Return the entropy of the segmentation given each video, (B,) float64 nats."""
        return inference.entropy(self._untaped(x, lengths, constraints))

    def _untaped(self, x: Tensor, lengths: Tensor, constraints: Constraints | None) -> Chain:
        with torch.no_grad():
            return self.chain(x, lengths, constraints)

    def _named(self, found: list[list[Decoded]], constraints: Constraints | None) -> list[list[Decoded]]:
        return [[(constraints or FREE).named(one, video) for one in best] for video, best in enumerate(found)]

    # ---------------------------------------------------------------- its factors

    def chain(self, x: Tensor, lengths: Tensor, constraints: Constraints | None = None, *, clip: bool = False) -> Chain:
        """Return the log factors of videos x (B, T, D). Raises DataError if a feature is not finite."""
        with torch.autocast(x.device.type, enabled=False):  # logs of 1e5 in half precision would say nothing
            return self._chain(x.to(self.means.dtype), lengths, constraints or FREE, clip)

    def _chain(self, x: Tensor, lengths: Tensor, constraints: Constraints, clip: bool) -> Chain:
        if x.ndim != 3 or x.shape[2] != self.width:
            raise DataError(f"features of shape {tuple(x.shape)} are not (videos, frames, {self.width} columns)")
        # A total is finite if and only if all are (1e38 is no feature); isfinite() of each would cost a table of its own.
        if not bool(x.detach().sum().isfinite()):
            raise DataError(
                "features are not finite numbers (nan or infinity); extract them again or leave the video out"
            )
        means, log_rates = self._rows(self.means), self._rows(self.log_rates) if self.duration == "poisson" else None
        initial, transition, final = self._structure(constraints)
        if constraints.states is not None:
            means = means[constraints.states]
            log_rates = None if log_rates is None else log_rates[constraints.states]
        emissions = gaussian(x, means, self.current_deviations(), log_rates)
        if constraints.penalties is not None:
            penalties = constraints.penalties
            emissions = emissions + (penalties if constraints.states is None else penalties[..., constraints.states])
        rows = min(self.longest, x.shape[1]) if clip else self.longest
        if log_rates is None:
            durations = emissions.new_zeros(rows, 1)
        else:
            # log Poisson(d) = d log rate - rate - log d!: the first part goes to the frames, the second to where segments
            # begin, and what remains is the same for all states and has no gradient of its own.
            durations, offset = self._poisson(log_rates, rows)
            initial, transition = initial + offset, _into(transition, offset)
        chain = Chain(emissions, lengths, initial, durations, transition, final)
        if constraints.order is None:
            return chain
        ways = ordered(replace(chain, transition=self._transition(FREE)), constraints.order)
        if log_rates is None:
            return ways
        offset = offset[constraints.order.clamp(min=0)]  # (B, S)
        return replace(ways, initial=ways.initial + offset, transition=ways.transition + offset[:, None])

    def _poisson(self, log_rates: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Return minus log d! (rows, 1), and what is left that does not depend on d, (L,)."""
        # Normalised over all K - 1 durations, even where the published code's clip cuts some of them off.
        offset = poisson_offset(log_rates, self.longest, self.normalise_durations)
        return -log_factorials(rows, log_rates)[:, None], offset

    def _structure(self, constraints: Constraints) -> tuple[Tensor, Tensor | LowRank, Tensor | None]:
        """Return initial (C,), transitions and final of the states allowed."""
        states, starts, ends = constraints.states, constraints.starts, constraints.ends
        initial = self.initial_logits
        if states is not None:
            initial = initial[states]
            starts, ends = (None if x is None else x[..., states] for x in (starts, ends))
        return allow(initial, starts), self._transition(constraints), forbidding(ends, initial)

    def _transition(self, constraints: Constraints) -> Tensor | LowRank:
        states, allowed = constraints.states, constraints.transitions
        if allowed is not None and states is not None:
            allowed = allowed[states][:, states]
        if self.rank is None:
            logits = self.transition_logits if states is None else self.transition_logits[states][:, states]
            return allow(logits, allowed)
        source, target = (self.source, self.target) if states is None else (self.source[states], self.target[states])
        factors = low_rank(source, target, self.projection)
        return factors if allowed is None else allow(factors.dense(), allowed)

    def current_deviations(self) -> Tensor:
        """Return the deviations in force, (D,); what is trained is clamped in place first, so that the optimiser sees it."""
        if self.log_deviation:
            return self.log_deviations.exp().clamp(min=LEAST_DEVIATION)
        with torch.no_grad():
            self.deviations.clamp_(min=LEAST_DEVIATION)
        return self.deviations.clone()  # so that a second forward pass may clamp before the first one's backward pass

    def transition_matrix(self) -> Tensor:
        """Return p(to | from), (L, L) [from, to]; rows sum to one."""
        transition = self._transition(FREE)
        return (transition.dense() if isinstance(transition, LowRank) else transition).exp()

    def duration_table(self) -> Tensor:
        """Return the log factors of durations, (K, L); row 0 is never used."""
        if self.duration == "geometric":
            return self.means.new_zeros(2, self.states)
        return log_poisson(self._rows(self.log_rates), self.longest, self.normalise_durations)

    def _rows(self, table: Tensor) -> Tensor:
        return table if self.tied is None else table[torch.tensor(self.tied, device=table.device)]

    # ---------------------------------------------------------------- making it, and making it again

    def start_emissions(self, means: Tensor, deviations: Tensor) -> None:
        """Set the means, (D,) for all states alike or (rows, D), and the deviations, (D,)."""
        with torch.no_grad():
            self.means.copy_(means.expand(self.means.shape))
            if self.log_deviation:
                self.log_deviations.copy_(deviations.clamp(min=LEAST_DEVIATION).log())
            else:
                self.deviations.copy_(deviations.clamp(min=LEAST_DEVIATION))

    def about(self) -> dict[str, Any]:
        """Return what ``rebuild`` needs to make the same model, as JSON values."""
        names = "states width rank longest duration normalise_durations log_deviation tied kernel"
        return {name: getattr(self, name) for name in names.split()}

    @classmethod
    def rebuild(cls, about: dict[str, Any]) -> Self:
        """Return a model of the same shape; its weights are drawn anew."""
        return cls(**about)


def _into(transition: Tensor | LowRank, offset: Tensor) -> Tensor | LowRank:
    """Return the transitions times exp(offset) of the state that they lead to."""
    if isinstance(transition, LowRank):
        return LowRank(transition.left, transition.right + offset[:, None])
    return transition + offset


# ---------------------------------------------------------------- first weights


def draw(model: SegmentModel, seed: int) -> None:
    """Draw the first weights as published; each depends on the seed and its own name alone.

    Initial and dense transition logits: uniform in 0..1. Embeddings: Xavier's uniform numbers. Projection: `orthogonal_features`.
    Means and log rates 0, deviations 1: the data set them.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = generator_of(name, seed)
            if name in ("initial_logits", "transition_logits"):
                parameter.uniform_(0, 1, generator=generator)
            elif name in ("source", "target"):
                nn.init.xavier_uniform_(parameter, generator=generator)
            elif name == "projection":
                parameter.copy_(orthogonal_features(*parameter.shape, generator))
            else:
                parameter.fill_(1 if name == "deviations" else 0)


def orthogonal_features(width: int, rank: int, generator: torch.Generator) -> Tensor:
    """Return a projection (width, rank) whose columns are orthogonal in blocks of ``width``, as long as normal vectors are."""
    blocks = []
    for _ in range(0, rank, width):
        blocks.append(torch.linalg.qr(torch.randn(width, width, generator=generator)).Q.T)
    directions = torch.cat(blocks)[:rank]
    lengths = torch.randn(rank, width, generator=generator).norm(dim=1, keepdim=True)
    return (directions * lengths).T
