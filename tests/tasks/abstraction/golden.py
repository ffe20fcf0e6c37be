"""The published numbers, and networks with their weights."""

import numpy as np
import torch
from tests.conftest import ROOT

from kinoflow.tasks.abstraction.model import SetModel
from kinoflow.tasks.abstraction.options import NetworkOptions

GOLDEN = ROOT / "tests" / "golden" / "abstraction"


def arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of one file."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def weights(values: dict[str, np.ndarray], model: SetModel, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of a file under the names of a model's weights; those that the model has not are left out."""
    own = model.state_dict()
    names = {"node.weight": "node_w", "node.bias": "node_b", "embedding.weight": "emb_w", "embedding.bias": "emb_b"}
    names |= {"scale_weight": "scale_w", "scale_bias": "scale_b"}
    for scale in model.scales:
        for part, short in (("first", 1), ("second", 2)):
            names[f"relations.{scale}.{part}.weight"] = f"rel{scale}_w{short}"
            names[f"relations.{scale}.{part}.bias"] = f"rel{scale}_b{short}"
    return {name: values[prefix + short] for name, short in names.items() if prefix + short in values and name in own}


def published(values: dict[str, np.ndarray], kind: str = "sam", prefix: str = "", **options) -> SetModel:
    """A model in float64 with the weights of a file; heads that the file has not are drawn."""
    scales = tuple(int(each) for each in values[prefix + "scales"])
    network = NetworkOptions(kind=kind, scales=scales, bottleneck=7, width=6, **options)
    nodes = len(values.get(prefix + "node_b", np.zeros(9)))
    model = SetModel(network, inputs=6, embedding=5, nodes=nodes).double()
    found = weights(values, model, prefix)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()}, strict=False)
    return model.eval()
