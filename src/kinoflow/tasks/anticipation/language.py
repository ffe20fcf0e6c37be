"""Language models of ``transformers`` as encoders: tiny ones drawn from the seed, or published weights of the user's own.

Nothing is downloaded: published weights come from a folder, or from the usual cache when they are there.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from kinoflow.errors import DataError, KinoflowError
from kinoflow.progress import log
from kinoflow.tasks.anticipation.encoder import draw
from kinoflow.tasks.anticipation.text_options import EncoderOptions
from kinoflow.tasks.anticipation.tokens import OFFLINE, Tokens, refusal

# kind: names of width, layers, heads, inner width, and other settings of a tiny one
SIZES: dict[str, tuple[tuple[str, str, str, str], tuple[str, ...]]] = {
    "albert": (
        ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
        ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    ),
    "distilbert": (("dim", "n_layers", "n_heads", "hidden_dim"), ("dropout", "attention_dropout")),
}
USUAL = (
    ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    ("hidden_dropout_prob", "attention_probs_dropout_prob"),
)
EMBEDDED = ("albert", "electra")  # whose embeddings have a width of their own
PLACES = 2  # RoBERTa counts positions from the padding's number + 1; ours is 0


class Language(nn.Module):
    """A masked language model of transformers; its features are those of the last layer.

    pooler: a layer and tanh over the feature that is read out (D -> D), as BERT has for whole sequences; None: none.
    """

    def __init__(self, model: nn.Module, kind: str, pooled: bool = False):
        super().__init__()
        self.kind, self.model = kind, model
        self.width = getattr(model.config, "hidden_size", None) or model.config.dim
        self.pooler = nn.Sequential(nn.Linear(self.width, self.width), nn.Tanh()) if pooled else None
        self.causal = False
        self.length = model.config.max_position_embeddings - (PLACES if kind == "roberta" else 0)

    @property
    def embedding(self) -> nn.Embedding:
        """Return the embedding of tokens."""
        return self.model.get_input_embeddings()

    def forward(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Return features (B, T, D) of tokens (B, T); ``real`` says which are no padding."""
        return self.model.base_model(input_ids=tokens, attention_mask=real.long()).last_hidden_state

    def masked(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Return the model's own scores of every token, (B, T, vocabulary)."""
        return self.model(input_ids=tokens, attention_mask=real.long()).logits

    def about(self) -> dict[str, Any]:
        """Return what makes it again, as JSON values."""
        values = json.loads(self.model.config.to_json_string(use_diff=False))
        config = {name: v for name, v in values.items() if name != "_name_or_path"}
        return {"kind": self.kind, "config": config, "pooled": self.pooler is not None}


def tiny(options: EncoderOptions, tokens: Tokens) -> Language:
    """Return a model of the sizes of ``options`` for a vocabulary; its weights are to be drawn."""
    sizes, drops = SIZES.get(options.model, USUAL)
    values: dict[str, Any] = dict(
        zip(sizes, (options.width, options.layers, options.heads, options.inner), strict=True)
    )
    values |= dict.fromkeys(drops, options.dropout)
    if options.model in EMBEDDED:
        values["embedding_size"] = options.width
    if options.model == "deberta":
        values |= {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
    values |= {
        "max_position_embeddings": options.length + PLACES,
        "pad_token_id": tokens.pad,
        "vocab_size": tokens.size,
    }
    return _from_config(
        {"model_type": options.model, "type_vocab_size": 0 if options.model == "deberta" else 2} | values,
        options.read == "pooler",
    )


def rebuild(about: dict[str, Any]) -> Language:
    """Return the model that ``about`` says; its weights are to be loaded."""
    return _from_config(about["config"], about["pooled"])


def _from_config(values: dict[str, Any], pooled: bool) -> Language:
    from transformers import AutoConfig, AutoModelForMaskedLM

    kind = values["model_type"]
    config = AutoConfig.for_model(**{k: v for k, v in values.items() if k not in ("transformers_version", "dtype")})
    with _quiet():
        _forget_attention(config, kind)
        return Language(AutoModelForMaskedLM.from_config(config, trust_remote_code=False), kind, pooled)


def published(
    source: str, tokens: Tokens, kind: str, pooled: bool = False, seed: int = 0, redraw: bool = False
) -> Language:
    """Return a model with published weights of a folder, or of the cache.

    pooled: with their pooler; drawn from the seed where they have none, as language models often do. redraw: sizes alone are
    read, and the weights are to be drawn.

    Raises DataError if they are not there, cannot be read, want to run code of their own, are of another kind, or if the
    tokenizer knows more tokens than the weights.
    """
    from transformers import AutoConfig, AutoModelForMaskedLM

    try:
        config = AutoConfig.from_pretrained(source, **OFFLINE)
        if config.model_type.partition("-")[0] != kind:
            raise DataError(
                f"{source}: these weights are of {config.model_type}, and encoder.model is {kind}; set it alike"
            )
        _forget_attention(config, kind)
        with _quiet():
            if redraw:
                model = AutoModelForMaskedLM.from_config(config, trust_remote_code=False)
            else:
                model = AutoModelForMaskedLM.from_pretrained(
                    source, config=config, use_safetensors=_safe(source), **OFFLINE
                )
            found = Language(model, kind, pooled)
            if pooled and not redraw:
                _take_pooler(found, source, config, seed)
        known = found.embedding.num_embeddings
    except (KinoflowError, MemoryError):
        raise
    except Exception as error:  # damaged files fail in any way
        raise refusal(source, "are no weights", "published weights as model.safetensors", error) from None
    if tokens.size > known:
        raise DataError(
            f"{source}: the tokenizer has {tokens.size} tokens and the weights know {known}; give weights and tokenizer that"
            " belong together"
        )
    return found


def _take_pooler(model: Language, source: str, config: Any, seed: int) -> None:
    """Copy the published pooler into a model; draw it where there is none."""
    from transformers import AutoModel

    whole, about = AutoModel.from_pretrained(
        source, config=config, use_safetensors=_safe(source), output_loading_info=True, **OFFLINE
    )
    if any(name.startswith("pooler") for name in about["missing_keys"]):
        log.info("%s: these weights have no pooler; it is drawn from the seed", source)
        draw(model.pooler, seed)
        return
    dense = whole.pooler if isinstance(whole.pooler, nn.Linear) else whole.pooler.dense  # ALBERT's is the layer itself
    model.pooler[0].load_state_dict(dense.state_dict())


def _safe(source: str) -> bool | None:
    """Ask for safetensors where a folder has them; else transformers loads a .bin without running what is in it."""
    return True if os.path.exists(os.path.join(source, "model.safetensors")) else None


def _forget_attention(config: Any, kind: str) -> None:
    """Take the attention of torch: one that a config names would be fetched, and is code."""
    config._attn_implementation = "eager" if kind == "deberta" else "sdpa"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from telling of heads that are drawn anew, and from its progress bars."""
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
