"""What joins steps before the head: nothing, their mean, a small transformer, or the two LSTMs of RULSTM. (B, T, D) -> (B, T', D).

RULSTM: Furnari, Farinella, "What would you expect? Anticipating egocentric actions with rolling-unrolling LSTMs", 2019. The
first LSTM reads what was seen; from each of its states the second one runs ahead over the step that was seen last, so often as
steps are to be foreseen.
"""

import torch
from torch import Tensor, nn

from kinoflow.errors import ConfigError
from kinoflow.tasks.anticipation.options import StudentOptions
from kinoflow.training.seeds import SampleDropout

HEADS = 4  # of the transformer, where they divide D
GATES = 4


class Identity(nn.Module):
    """Every step stays by itself."""

    group = 1

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


class Groups(nn.Module):
    """What joins groups of ``group`` steps, counted from the first, into one each; None: all steps into one."""

    def __init__(self, group: int | None):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T / group, D) of (B, T, D); ConfigError if the groups are not whole."""
        size = self.group or x.shape[1]
        if x.shape[1] % size:
            raise ConfigError(
                f"network.group: {size} does not divide the {x.shape[1]} steps; set sampling.steps to a multiple"
            )
        groups = x.unflatten(1, (-1, size))  # (B, T', size, D)
        return self.joined(groups.flatten(0, 1)).unflatten(0, groups.shape[:2])

    def joined(self, x: Tensor) -> Tensor:
        """Return one row (N, D) for each group (N, T, D)."""
        raise NotImplementedError


class Mean(Groups):
    """The mean of a group."""

    def joined(self, x: Tensor) -> Tensor:
        """Return the mean over time."""
        return x.mean(1)


class Transformer(Groups):
    """A transformer's token that looks at all steps of a group."""

    def __init__(self, features: int, group: int | None, steps: int, layers: int, dropout: float):
        super().__init__(group)
        heads = HEADS if features % HEADS == 0 else 1
        self.token = nn.Parameter(torch.empty(1, 1, features))
        self.positions = nn.Embedding(group or steps, features)
        self.blocks = nn.ModuleList(Look(features, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(features)

    def joined(self, x: Tensor) -> Tensor:
        """Return the token after the last layer, (N, D)."""
        if x.shape[1] > self.positions.num_embeddings:
            raise ConfigError(f"aggregator: it places {self.positions.num_embeddings} steps, not {x.shape[1]}")
        places = torch.arange(x.shape[1], device=x.device)
        x = torch.cat([self.token.expand(len(x), -1, -1), x + self.positions(places)], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 0])


class Look(nn.Module):
    """Attention of all steps to all, and a perceptron."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop1, self.drop2 = SampleDropout(dropout), SampleDropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, T, D)."""
        query, key, value = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.drop1(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.drop2(self.down(nn.functional.gelu(self.up(self.norm2(x)))))


class Lstm(nn.Module):
    """One layer of a long short-term memory; its weights are called as torch's are."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.input, self.state = nn.Linear(features, GATES * width), nn.Linear(width, GATES * width)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state h and the memory c (N, H) after one more step x (N, D)."""
        i, f, g, o = (self.input(x) + self.state(h)).chunk(GATES, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class Rulstm(nn.Module):
    """The rolling and the unrolling LSTM: of each step, what is foreseen ``unroll`` steps ahead. Causal."""

    group = 1

    def __init__(self, features: int, unroll: int, dropout: float):
        super().__init__()
        self.unroll = unroll
        self.rolling, self.unrolling = Lstm(features, features), Lstm(features, features)
        self.drop = SampleDropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, D)."""
        h = c = x.new_zeros(len(x), x.shape[2])
        states, memories, dropped = [], [], self.drop(x)
        for step in dropped.unbind(1):
            h, c = self.rolling(step, h, c)
            states.append(h)
            memories.append(c)
        h, c = torch.stack(states, 1).flatten(0, 1), torch.stack(memories, 1).flatten(0, 1)  # (B T, D)
        again = dropped.flatten(0, 1)
        for _ in range(self.unroll):
            h, c = self.unrolling(again, h, c)
        return h.unflatten(0, x.shape[:2])

    def step(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return what is foreseen after one more step x (B, D), and the state for the next; ``state``: None at first."""
        dropped = self.drop(x)
        h, c = self.rolling(dropped, *(state or (torch.zeros_like(x), torch.zeros_like(x))))
        now = h, c
        for _ in range(self.unroll):
            h, c = self.unrolling(dropped, h, c)
        return h, now


def aggregator(options: StudentOptions, features: int, steps: int) -> nn.Module:
    """Return what the options ask for, for sequences of at most ``steps`` steps of ``features``."""
    if options.aggregator == "identity":
        return Identity()
    if options.aggregator == "mean":
        return Mean(options.group)
    if options.aggregator == "rulstm":
        return Rulstm(features, options.unroll, options.head_dropout)
    return Transformer(features, options.group, steps, options.layers, options.head_dropout)
