"""The head of AVT: a causal transformer that predicts, from each step of what was seen, the features of the next.

    x (B, T, D) -> E, linear, D to H -> + positions -> blocks of causal attention -> norm -> hidden (B, T, H)
                -> W, linear, H to D -> y (B, T, D): y_t is the prediction of x_(t+1)

Girdhar, Grauman, "Anticipative Video Transformer", 2021, section 3.2. The blocks are those of GPT-2 (norms before attention and
perceptron, learned positions, GELU by tanh, a norm at the end). B sequences, T steps, D features, H the head's own width.
Sequences of a batch may differ in length: the shorter ones are filled up on the right, where causal attention never looks.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinoflow.errors import ConfigError
from kinoflow.training.seeds import SampleDropout

EPSILON = 1e-5  # of norms


@dataclass
class Cache:
    """Keys and values of the steps so far, of every block: what a stream need not compute again."""

    keys: list[Tensor]  # (B, heads, room, H / heads) each
    values: list[Tensor]
    steps: int = 0  # of the room that are filled

    def keep(self, block: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new steps to a block's; return all of them."""
        if keys.requires_grad:  # gradients need what was kept as it was: nothing is written over it
            self.keys[block] = torch.cat([self.keys[block][:, :, : self.steps], keys], 2)
            self.values[block] = torch.cat([self.values[block][:, :, : self.steps], values], 2)
            return self.keys[block], self.values[block]
        end = self.steps + keys.shape[2]
        self.keys[block][:, :, self.steps : end] = keys
        self.values[block][:, :, self.steps : end] = values
        return self.keys[block][:, :, :end], self.values[block][:, :, :end]


class Attention(nn.Module):
    """Causal self-attention of several heads: (B, T, H) -> (B, T, H), and who looked at whom."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.drop_weights, self.drop_out = SampleDropout(dropout), SampleDropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, cache: tuple[Cache, int] | None, maps: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return what each of T steps makes of those that it may look at, and with ``maps`` its weights (B, heads, T, S).

        mask: (T, S) or (B, 1, T, S), True where a step may look; None: everywhere. cache: of the steps before, and the
        number of this block.
        """
        query, key, value = (
            self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )  # (B, heads, T, H/heads)
        if cache:
            key, value = cache[0].keep(cache[1], key, value)
        weights = None
        if maps or (self.training and self.drop_weights.p):
            likeness = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])  # (B, heads, T, S)
            weights = (likeness if mask is None else likeness.masked_fill(~mask, -math.inf)).softmax(3)
            mixed = self.drop_weights(weights) @ value
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value, mask)
        return self.drop_out(self.out(mixed.transpose(1, 2).flatten(2))), weights if maps else None


class Block(nn.Module):
    """Attention and a perceptron, each behind a norm and beside a shortcut: (B, T, H) -> (B, T, H)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width, EPSILON), Attention(width, heads, dropout)
        self.norm2, self.up, self.down = (
            nn.LayerNorm(width, EPSILON),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )
        self.drop = SampleDropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, cache: tuple[Cache, int] | None = None, maps: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the steps (B, T, H), and with ``maps`` the weights of attention (B, heads, T, S)."""
        mixed, weights = self.attention(self.norm1(x), mask, cache, maps)
        x = x + mixed
        return x + self.drop(self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))), weights


class CausalTransformer(nn.Module):
    """Embeddings (B, T, H) -> hidden states (B, T, H), each a function of the embeddings up to its own step.

    width: H. positions: the most steps that it can place.
    """

    def __init__(self, width: int, heads: int, layers: int, positions: int, dropout: float):
        super().__init__()
        if width % heads:
            raise ConfigError(f"heads: {heads} do not divide the width {width}; take a divisor")
        self.heads, self.positions = heads, nn.Embedding(positions, width)
        self.drop = SampleDropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, EPSILON)

    @property
    def room(self) -> int:
        """The most steps that it can place."""
        return self.positions.num_embeddings

    def cache(self, like: Tensor) -> Cache:
        """Return an empty cache for sequences like embeddings (B, ..., H)."""
        shape = (len(like), self.heads, self.room, like.shape[-1] // self.heads)
        return Cache([like.new_empty(shape) for _ in self.blocks], [like.new_empty(shape) for _ in self.blocks])

    def forward(
        self,
        embeddings: Tensor,
        *,
        places: Tensor | None = None,
        mask: Tensor | None = None,
        cache: Cache | None = None,
        maps: bool = False,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return hidden states (B, T, H), and with ``maps`` each block's weights of attention (B, heads, T, S).

        places: (B, T) of the steps, for those that do not simply follow the cache's. mask: where steps may look, for those
        that may not look at all before them. cache: of the steps before; the new ones are added to it.

        Raises ConfigError for more steps than there are positions.
        """
        steps, before = embeddings.shape[1], cache.steps if cache else 0
        if before + steps > self.room:
            raise ConfigError(
                f"positions: the model places {self.room} steps, not {before + steps}; cut what is older, or train it with more"
            )
        if places is None:
            places = torch.arange(before, before + steps, device=embeddings.device)
        if mask is None and steps > 1:
            mask = _causal(steps, before, embeddings.device)
        x, found = self.drop(embeddings + self.positions(places)), []
        for number, block in enumerate(self.blocks):
            x, weights = block(x, mask, (cache, number) if cache else None, maps)
            found += [weights] if maps else []
        if cache:
            cache.steps += steps
        return self.norm(x), found


def _causal(steps: int, before: int, device: torch.device) -> Tensor:
    """Return which of all steps each new one may look at, (steps, before + steps) bool."""
    return torch.ones(steps, before + steps, dtype=torch.bool, device=device).tril(before)


@dataclass(frozen=True)
class Forecast:
    """What a head says of sequences (B, T, D).

    past: (B, T, D), x_1 and the predictions y_1 .. y_(T-1) of the steps that were seen. told: (B, T + k - 1, D), all
    predictions. future: (B, D), or (B, n, D) where nothing is averaged. hidden: (B, T, H). maps: each block's weights of
    attention, (B, heads, T, T), if they were asked for. rolled: (B, k, D), the prediction after the last step that counts and
    those rolled out from it; None: the head does not roll out.
    """

    past: Tensor
    told: Tensor
    future: Tensor
    hidden: Tensor | None = None
    maps: tuple[Tensor, ...] = ()
    rolled: Tensor | None = None

    def feature_error(self, x: Tensor, detach: bool = False) -> Tensor:
        """Return the squared differences (B, T - 1, D) of predictions and what came, x (B, T, D).

        As published, the gradient flows into what came too, where a backbone has made it; ``detach`` stops that.
        """
        came = x[:, 1:]
        return (self.told[:, : came.shape[1]] - (came.detach() if detach else came)).square()


class AvtHead(nn.Module):
    """AVT-h: what comes next, from what was seen.

    features: D. width: H. ahead: steps that are predicted; those after the first by roll-out, which feeds the hidden state of
    the last step as the next embedding. average: so many last steps of [x_1 .. x_T, y_T ..] are averaged into ``future``, all
    where there are fewer; 0: all are returned as they are. with_past: whether x_1 .. x_T are among these.

    >>> AvtHead(12, width=16, heads=4, layers=2).eval()(torch.zeros(3, 5, 12)).future.shape
    torch.Size([3, 12])
    """

    def __init__(
        self,
        features: int,
        width: int,
        heads: int = 4,
        layers: int = 2,
        positions: int = 1024,
        dropout: float = 0.1,
        ahead: int = 1,
        average: int = 1,
        with_past: bool = True,
    ):
        super().__init__()
        self.ahead, self.average, self.with_past = ahead, average, with_past
        self.encoder = nn.Linear(features, width, bias=False)
        self.transformer = CausalTransformer(width, heads, layers, positions, dropout)
        self.decoder = nn.Linear(width, features, bias=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None, maps: bool = False, ahead: int = 0) -> Forecast:
        """Return the forecast of sequences x (B, T, D), of which the first ``lengths`` (B,) steps count; None: all.

        ahead: steps to predict, in place of the head's own.
        """
        ahead = ahead or self.ahead
        cache = self.transformer.cache(x.new_empty(len(x), self.encoder.out_features)) if ahead > 1 else None
        hidden, found = self.transformer(self.encoder(x), cache=cache, maps=maps)
        y = self.decoder(hidden)
        last = last_step(hidden, lengths)  # (B, 1, H)
        rolled = [last, *self._roll(last, lengths, cache, ahead)]
        future = self.decoder(torch.cat(rolled, 1))  # (B, ahead, D)
        told = torch.cat([y, future[:, 1:]], 1)
        past = torch.cat([x[:, :1], y[:, :-1]], 1)
        return Forecast(past, told, self._chosen(x, future, lengths), hidden, tuple(found), future)

    def _roll(self, last: Tensor, lengths: Tensor | None, cache: Cache | None, ahead: int) -> list[Tensor]:
        """Return the hidden states (B, 1, H) of the steps after the first."""
        found: list[Tensor] = []
        for step in range(1, ahead):
            places, mask = _beyond(cache, lengths, step)
            last, _ = self.transformer(last, places=places, mask=mask, cache=cache)
            found.append(last)
        return found

    def _chosen(self, x: Tensor, future: Tensor, lengths: Tensor | None) -> Tensor:
        if not self.average:
            return torch.cat([x, future], 1) if self.with_past else future
        short = self.average - future.shape[1]
        if short <= 0 or not self.with_past:
            return future[:, -self.average :].mean(1)
        seen, count = _latest(x, short, lengths)
        return (seen.sum(1) + future.sum(1)) / (count + future.shape[1])

    # ---------------------------------------------------------------- as a stream

    def step(self, x: Tensor, cache: Cache) -> Tensor:
        """Return the prediction y (B, D) after one more step x (B, D); ``cache``: of `start`, it grows by a step."""
        hidden, _ = self.transformer(self.encoder(x)[:, None], cache=cache)
        return self.decoder(hidden[:, 0])

    def start(self, x: Tensor) -> Cache:
        """Return the cache of a stream of steps like x (B, D) before its first step."""
        return self.transformer.cache(x.new_empty(len(x), self.encoder.out_features))


def _beyond(cache: Cache, lengths: Tensor | None, step: int) -> tuple[Tensor | None, Tensor | None]:
    """Return place (B, 1) and mask (B, 1, 1, S) of a step of the roll-out, where sequences differ in length."""
    if lengths is None:
        return None, None
    places = torch.arange(cache.steps + 1, device=lengths.device)
    filled = cache.steps - (step - 1)  # steps of the sequences, fillings included
    mask = (places < lengths[:, None]) | (places >= filled)  # (B, S): not what fills up
    return (lengths + step - 1)[:, None], mask[:, None, None]


def last_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the last step that counts of each sequence, (B, 1, H) of x (B, T, H)."""
    if lengths is None:
        return x[:, -1:]
    return x[torch.arange(len(x), device=x.device), lengths - 1][:, None]


def _latest(x: Tensor, most: int, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the last ``most`` steps that count of each sequence, zeros for those that it does not have, and how many it has.

    The second is (B, 1).
    """
    ends = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
    places = ends[:, None] - most + torch.arange(most, device=x.device)  # (B, most)
    steps = x.gather(1, places.clamp(min=0)[..., None].expand(-1, -1, x.shape[2]))
    return steps * (places >= 0)[..., None], ends.clamp(max=most)[:, None]
