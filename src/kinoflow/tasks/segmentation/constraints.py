"""What is known of a segmentation beforehand: which states, where, in which order."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kinoflow.errors import ConfigError
from kinoflow.tasks.segmentation.chain import Chain, LowRank
from kinoflow.tasks.segmentation.decoding import Decoded
from kinoflow.tasks.segmentation.factors import masked_log_softmax
from kinoflow.tasks.segmentation.spans import Span


@dataclass(frozen=True)
class Constraints:
    """What a batch of videos may look like; None leaves free. Tensors lie on the model's device.

    states: (C,) int64, only these; the soft-max of beginnings and transitions runs over them.
    penalties: (B, T, L) added to the log emissions: 0 where a narration allows a state, -1e4 elsewhere; -inf forbids.
    starts: (L,) bool, states a video may begin with. ends: (L,) or (B, L) bool, states it may end with.
    transitions: (L, L) bool [from, to]; a state that may last longer than K - 1 frames needs its transition to itself.
    order: (B, S) int64, the state of every element of a chain, padded by -1: a video begins with the first element, stays or
        moves on to the next one, and ends with the last; a video with fewer frames n than elements may also end with the
        n-th. A state may stand in several elements. Takes the place of states, starts, ends and transitions.
    """

    states: Tensor | None = None
    penalties: Tensor | None = None
    starts: Tensor | None = None
    ends: Tensor | None = None
    transitions: Tensor | None = None
    order: Tensor | None = None

    def __post_init__(self) -> None:
        if self.order is not None and any(
            x is not None for x in (self.states, self.starts, self.ends, self.transitions)
        ):
            raise ConfigError("an order of states says already where videos start, end and go; leave the others out")
        if self.order is not None and not bool((self.order[:, 0] >= 0).all()):
            raise ConfigError("an order of states is empty; leave the video out")

    def named(self, decoded: Decoded, video: int) -> Decoded:
        """Return a segmentation whose spans hold indices of the constrained chain as one of states."""
        names = self.states if self.order is None else self.order[video]
        if names is None:
            return decoded
        names = names.tolist()
        spans = [Span(names[span.state], span.start, span.length) for span in decoded.spans]
        return replace(
            decoded, spans=spans, elements=None if self.order is None else [span.state for span in decoded.spans]
        )

    def indices(self, spans: list[Span]) -> list[Span]:
        """Return spans of states as spans of indices of the constrained chain (with an order they are that already)."""
        if self.states is None:
            return spans
        index = {state: i for i, state in enumerate(self.states.tolist())}
        if missing := sorted({span.state for span in spans} - index.keys()):
            raise ConfigError(f"the segmentation holds state {missing[0]}, which is not among the states allowed")
        return [Span(index[span.state], span.start, span.length) for span in spans]

    def spread(self, posterior: Tensor, states: int) -> Tensor:
        """Return a posterior (B, T, S) over indices of the constrained chain as one over all states, (B, T, L)."""
        if self.states is None and self.order is None:
            return posterior
        names = self.states.expand(len(posterior), -1) if self.order is None else self.order.clamp(min=0)
        full = posterior.new_zeros(*posterior.shape[:2], states)
        return full.scatter_add_(2, names[:, None].expand(posterior.shape), posterior)


def allow(logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Return the log soft-max of logits over what is allowed (None: everything)."""
    return logits.log_softmax(-1) if allowed is None else masked_log_softmax(logits, allowed)


def forbidding(allowed: Tensor | None, like: Tensor) -> Tensor | None:
    """Return log factors of what may be: 0 where allowed, -inf elsewhere."""
    return None if allowed is None else torch.zeros_like(allowed, dtype=like.dtype).masked_fill_(~allowed, -torch.inf)


def ordered(chain: Chain, order: Tensor) -> Chain:
    """Return the chain of elements of an order (B, S) in place of states: the video stays in one or moves on to the next.

    Both ways, the transition is renormalised over what is allowed. ``initial`` and ``final`` of the states are not used.
    """
    videos, elements = order.shape
    names, real = order.clamp(min=0), order >= 0
    count = real.sum(1)
    place = torch.arange(elements, device=order.device)
    emissions = chain.emissions.gather(2, names[:, None].expand(-1, chain.emissions.shape[1], -1))
    durations = chain.durations
    if durations.shape[-1] > 1:
        durations = durations[:, names].transpose(0, 1)  # (B, K, S)
    going = torch.full((videos, elements, elements), -torch.inf, dtype=emissions.dtype, device=order.device)
    stays = _transition(chain.transition, names, names)  # (B, S)
    if elements > 1:
        moves = _transition(chain.transition, names[:, :-1], names[:, 1:]).masked_fill(~real[:, 1:], -torch.inf)
        moves = torch.cat([moves, torch.full_like(stays[:, :1], -torch.inf)], 1)
        stays, moves = torch.stack((stays, moves)).log_softmax(0)
        going = going.diagonal_scatter(moves[:, :-1], 1, 1, 2)
    else:
        stays = torch.zeros_like(stays)
    going = going.diagonal_scatter(stays, 0, 1, 2)
    last = (place == count[:, None] - 1) | ((place == chain.lengths[:, None] - 1) & (chain.lengths < count)[:, None])
    first = (place == 0).expand(videos, elements)
    return replace(
        chain,
        emissions=emissions,
        initial=forbidding(first, emissions),
        durations=durations,
        transition=going,
        final=forbidding(last & real, emissions),
    )


def _transition(transition: Tensor | LowRank, sources: Tensor, targets: Tensor) -> Tensor:
    """Return the logs of single transitions."""
    if isinstance(transition, LowRank):
        return torch.logsumexp(transition.left[sources] + transition.right[targets], -1)
    return transition[sources, targets]
