"""Options of alignment that do not fit together are refused in a sentence."""

import pytest

from kinoflow.errors import ConfigError
from kinoflow.options import check
from kinoflow.tasks.alignment.options import AlignmentOptions


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"network": {"width": 10, "heads": 3}}, "heads: 3 do not divide width: 10"),
        ({"network": {"encoder": "conv", "pool": 3}}, "pool: it is for encoder: transformer"),
        ({"network": {"backbone": "features", "encoder": "conv"}}, "backbone: features are rows"),
        ({"network": {"backbone": "tiny", "encoder": "conv"}}, "conv needs the larger maps"),
        ({"sampling": {"contexts": 2}}, "contexts: the transformer sees all frames anyway"),
        ({"sampling": {"views": 1}}, "views: scl compares two views"),
        ({"sampling": {"scheme": "tcn", "frames": 7}}, "frames: 7 are no pairs"),
        ({"algorithm": "tcn"}, "algorithm: tcn needs pairs"),
        (
            {"algorithm": "tcc", "sampling": {"views": 1}, "training": {"batch": 1}},
            "tcc goes from one sequence to another",
        ),
        ({"algorithm": "lav"}, "scl, tcc, tcn or classification"),
    ],
)
def test_what_does_not_fit_together_is_refused(values, reason):
    with pytest.raises(ConfigError, match=reason):
        check(AlignmentOptions, values, "here")


def test_defaults_are_the_papers():
    options = AlignmentOptions()
    training, network, scl = options.training, options.network, options.scl
    assert (training.optimiser, training.learning_rate, training.weight_decay, training.clip) == (
        "adam",
        1e-4,
        1e-5,
        10,
    )
    assert training.lr_at_batch is None  # rates are used as written
    assert (network.backbone, network.frozen, network.layers, network.width, network.heads) == (
        "resnet50",
        3,
        3,
        256,
        8,
    )
    assert (network.feed_forward, network.hidden, network.embedding, network.dropout) == (1024, 512, 128, 0.1)
    assert (scl.temperature, scl.variance, scl.negatives) == (0.1, 10, "single_noself")
    assert (options.sampling.region, options.sampling.overlap, options.augment.size) == (1.5, 0.2, 224)
