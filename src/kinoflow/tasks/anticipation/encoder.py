"""A small transformer for token sequences, seeing both sides or the past alone; and how first weights are drawn.

Vaswani et al., "Attention is all you need", 2017, with the norms in front of the blocks. B sequences, T tokens, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from kinoflow.tasks.anticipation.text_options import EncoderOptions
from kinoflow.training.first_weights import generator_of
from kinoflow.training.seeds import SampleDropout

DEVIATION = 0.02  # of drawn weights, as in BERT


class Encoder(nn.Module):
    """Token sequences to features.

    >>> model = Encoder(EncoderOptions(width=8, heads=2, inner=16), vocabulary=9).eval()
    >>> model(torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, options: EncoderOptions, vocabulary: int):
        super().__init__()
        self.width, self.causal, self.length = options.width, options.causal, options.length
        self.tokens = nn.Embedding(vocabulary, options.width)
        self.places = nn.Embedding(options.length, options.width)
        self.dropout = _dropout(options.dropout)
        self.blocks = nn.ModuleList(Block(options) for _ in range(options.layers))
        self.norm = nn.LayerNorm(options.width)
        self.pooler = None

    @property
    def embedding(self) -> nn.Embedding:
        """Return the embedding of tokens."""
        return self.tokens

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Return features (B, T, D) of tokens (B, T); ``real`` (B, T) says which are no padding (on the right)."""
        x = self.dropout(self.tokens(tokens) + self.places.weight[: tokens.shape[1]])  # (B, T, D)
        mask = None if self.causal or bool(real.all()) else real[:, None, None, :]
        for block in self.blocks:
            x = block(x, mask, self.causal)
        return self.norm(x)


class Block(nn.Module):
    """Attention and a layer of neurons, each added to what comes in."""

    def __init__(self, options: EncoderOptions):
        super().__init__()
        width, self.heads = options.width, options.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries = nn.Linear(width, 3 * width)  # queries, keys and values
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, options.inner), nn.Linear(options.inner, width)
        self.dropout_1, self.dropout_2 = _dropout(options.dropout), _dropout(options.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """Return (B, T, D) of (B, T, D); mask: (B, 1, 1, T), true where a token may be looked at."""
        q, k, v = self.queries(self.norm_1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, h, T, d)
        seen = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        x = x + self.dropout_1(self.out(seen.transpose(1, 2).flatten(2)))
        return x + self.dropout_2(self.down(gelu(self.up(self.norm_2(x)))))


def _dropout(p: float) -> nn.Module:
    return SampleDropout(p) if p else nn.Identity()


# ---------------------------------------------------------------- first weights


def draw(model: nn.Module, seed: int) -> None:
    """Draw all weights anew; each depends on the seed and its own name alone.

    Matrices: normal, deviation .02; biases 0; norms the identity; the embedding of padding 0.
    """
    norms = {id(p) for m in model.modules() if "Norm" in type(m).__name__ for p in m.parameters(recurse=False)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if id(parameter) in norms:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif parameter.ndim > 1:
                parameter.normal_(0.0, DEVIATION, generator=generator_of(name, seed))
            else:
                parameter.zero_()
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
