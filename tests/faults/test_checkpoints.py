"""What a checkpoint says of its network may be of any shape: it is refused in one sentence by every room."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kinoflow.errors import ConfigError, DataError
from kinoflow.training import checkpoint

# room: (who reads its checkpoints, the kind, what they say)
ROOMS = {
    "recognition": ("recognition.scoring:read_checkpoint", "", "network options heads training frames mirror dataset"),
    "weights of recognition": ("recognition.tuning:source", "", "dataset options heads"),
    "alignment": ("alignment.embed:read_checkpoint", "", "model options classes frames mirror dataset seen clips seed"),
    "segmentation": (
        "segmentation.trained:read_checkpoint", "", "models options vocabulary columns width seconds features counts dataset pictures",
    ),
    "anticipation": (
        "anticipation.scoring:read_checkpoint", "student", "network options classes counts dataset teaching carried seed",
    ),
    "anticipation-teacher": ("anticipation.teacher:read_teacher", "", "tokens classes heads encoder language options"),
    "abstraction": ("abstraction.checkpoints:read_checkpoint", "", "taxonomy network options majority extractor dataset"),
}  # fmt: skip
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**6)
    | st.floats()
    | st.sampled_from(["", "none", "small", "../x", "resnet18"])
)
WORDS = st.sampled_from(
    ["kind", "width", "classes", "graph", "nodes", "links", "num_class", "names", "many_shot", "backbone", "heads"]
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=8
)


@pytest.mark.parametrize("room", ROOMS)
def test_a_checkpoint_that_says_anything_is_refused_in_one_sentence(room, tmp_path):
    place, kind, keys = ROOMS[room]
    module, _, name = place.partition(":")
    read = getattr(import_module(f"kinoflow.tasks.{module}"), name)
    names = import_module(f"kinoflow.tasks.{module}")
    head = {"room": getattr(names, "ROOM", room.split()[-1])} | ({"kind": names.KIND} if kind else {})
    path = Path(tmp_path, "model.safetensors")

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(keys.split(), VALUES)))
    def whatever(about):
        checkpoint.save(path, torch.nn.Linear(2, 3), about | head)
        try:
            read(path)
        except (DataError, ConfigError) as error:
            assert path.name in str(error) and all(line.isprintable() for line in str(error).split("\n"))
        else:
            assert room == "weights of recognition" and {*keys.split()} <= {*about}

    whatever()
