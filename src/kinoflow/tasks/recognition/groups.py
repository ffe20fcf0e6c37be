"""Which weights of a Recogniser learn at which rate: the policy of TSN, kept by TSM.

    group                 members                                     rate          decay
    first_conv_weight     the first convolution                       1, flow 5     1
    first_conv_bias                                                   2, flow 10    0
    normal_weight         other convolutions                          1             1
    normal_bias                                                       2             0
    norm                  scales and offsets of batch norms           1             0
    head_weight           linear layers                               5             1
    head_bias                                                         10            0

Heads that come trained on the same dataset are among the normal ones.
"""

from torch import nn

from kinoflow.progress import log
from kinoflow.tasks.recognition.model import CONVOLUTIONS, NORMS, Recogniser
from kinoflow.training.groups import Group

FIRST = "first_conv"
FLOW_RATE = 5.0  # of the first convolution, whose weights are made from those for RGB
TABLE = (
    ("first_conv_weight", 1.0, 1.0),
    ("first_conv_bias", 2.0, 0.0),
    ("normal_weight", 1.0, 1.0),
    ("normal_bias", 2.0, 0.0),
    ("norm", 1.0, 0.0),
    ("head_weight", 5.0, 1.0),
    ("head_bias", 10.0, 0.0),
)


def policy(model: Recogniser, trained_heads: bool = False) -> list[Group]:
    """Return the groups, in the order of the table; some may be empty.

    trained_heads: the heads come trained on the same dataset. With partial batch normalisation only the first norm learns.
    Raises TypeError for a layer with weights that the table does not know.
    """
    partial = model.network.partial_norm
    if partial and model.network.non_local:
        log.warning(
            "partial_norm: the non-local blocks' last norms are zero and are not trained, so these blocks do nothing"
        )
    first_norm = next(module for module in model.modules() if isinstance(module, NORMS))
    members: dict[str, list[tuple[str, nn.Parameter]]] = {name: [] for name, _, _ in TABLE}
    for place, module in model.named_modules():
        if partial and isinstance(module, NORMS) and module is not first_norm:
            continue
        for name, parameter in module.named_parameters(place, recurse=False):
            part = _part(module, place == model.first, trained_heads)
            members[part if part == "norm" else f"{part}_{name.rpartition('.')[2]}"].append((name, parameter))
    faster = FLOW_RATE if model.kind == "flow" else 1.0
    return [
        Group(name, members[name], rate * (faster if name.startswith(FIRST) else 1.0), decay)
        for name, rate, decay in TABLE
    ]


def _part(module: nn.Module, first: bool, trained_heads: bool) -> str:
    if isinstance(module, CONVOLUTIONS):
        return FIRST if first else "normal"
    if isinstance(module, nn.Linear):
        return "normal" if trained_heads else "head"
    if isinstance(module, NORMS):
        return "norm"
    raise TypeError(f"a {type(module).__name__} has weights, but no place among the groups of the optimiser")
