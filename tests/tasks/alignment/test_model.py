"""The Aligner: the published encoders' numbers, and what must hold of embeddings whatever the weights."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT

from kinoflow.errors import ConfigError
from kinoflow.tasks.alignment.encoders import Conv, Projection, Transformer, Vanilla, unit
from kinoflow.tasks.alignment.model import Aligner, build, chunks, video_embedding
from kinoflow.tasks.alignment.options import AlignmentOptions, EncoderOptions, ViewOptions
from kinoflow.tasks.alignment.positions import positions
from kinoflow.training.draws import Draw
from kinoflow.training.seeds import name_places, sample_keys

GOLDEN = {name: np.load(ROOT / f"tests/golden/carl/{name}.npz") for name in ("transformer_embedder", "conv_embedder")}
relaxed = settings(deadline=None, max_examples=20)
TINY = {
    "backbone": "tiny",
    "frozen": 0,
    "hidden": 12,
    "width": 8,
    "heads": 2,
    "feed_forward": 16,
    "layers": 2,
    "embedding": 6,
    "projection_hidden": 5,
    "dropout": 0.0,
}


def close(found, wanted) -> bool:
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    return bool((np.abs(found - wanted) <= 1e-5 * (1 + np.abs(wanted))).all())


def tiny(seed: int = 0, frames: int = 6, contexts: int = 1, **options) -> Aligner:
    return Aligner(EncoderOptions(**TINY | options), frames, contexts, seed=seed).eval()


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def filled(module: torch.nn.Module, golden, prefix: str = "", names: dict[str, str] | None = None) -> torch.nn.Module:
    """Give a module the weights of a golden file, in float64. Names there: weight, bias, and mean, var of norms."""
    for name, value in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        key = name.replace("running_mean", "mean").replace("running_var", "var").replace("inner.", "in.")
        key = key.replace("layers.", "layer")
        value.copy_(torch.tensor(golden[prefix + key]))
    return module.double().eval()


def published() -> tuple[Transformer, Projection]:
    golden = GOLDEN["transformer_embedder"]
    inputs, hidden, width, inner, heads, layers, embedding, frames, head = golden["config"].tolist()
    options = EncoderOptions(
        hidden=hidden,
        width=width,
        feed_forward=inner,
        heads=heads,
        layers=layers,
        embedding=embedding,
        dropout=0,
    )
    return filled(Transformer(options, inputs, frames), golden), filled(Projection(embedding, head), golden, "head.")


def through(transformer: Transformer, x: np.ndarray, mask: np.ndarray | None = None) -> torch.Tensor:
    maps = torch.tensor(x, dtype=torch.float64)
    rows = transformer.reduce(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
    return transformer(rows, 1, None if mask is None else torch.tensor(mask) > 0)


# ---------------------------------------------------------------- published numbers


def test_the_transformer_gives_the_published_embeddings():
    golden, (transformer, head) = GOLDEN["transformer_embedder"], published()
    masked = through(transformer, golden["x"], golden["mask"])
    assert close(through(transformer, golden["x"]), golden["eval_out"])
    assert close(masked, golden["eval_out_masked"])
    assert close(unit(masked), golden["eval_l2"])
    assert close(unit(head(masked)), golden["eval_proj_l2"])
    assert close(through(transformer, golden["x_other_len"]), golden["eval_out_other_len"])


def test_the_transformer_trains_by_the_statistics_of_the_batch():
    golden, (transformer, head) = GOLDEN["transformer_embedder"], published()
    z = through(transformer.train(), golden["x"], golden["mask"])
    assert close(z, golden["train_out_masked"])
    assert close(unit(head.train()(z)), golden["train_proj_l2"])
    assert close(transformer.bn0.running_mean, golden["after_bn0.mean"])
    assert close(transformer.bn0.running_var, golden["after_bn0.var"])


@pytest.mark.parametrize("name", ["conv", "vanilla"])
def test_conv_and_vanilla_give_the_published_embeddings(name):
    golden = GOLDEN["conv_embedder"]
    width, inputs = golden[f"{name}.fc0.weight"].shape
    embedding = len(golden[f"{name}.out.bias"])
    x, contexts = torch.tensor(golden[f"{name}.x"], dtype=torch.float64), int(golden["num_contexts"])
    options = EncoderOptions(encoder=name, hidden=width, conv_width=inputs, embedding=embedding)
    module = filled({"conv": Conv, "vanilla": Vanilla}[name](options, x.shape[2], 1), golden, f"{name}.")
    rows = module.reduce(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    assert close(module(rows, contexts, None), golden[f"{name}.y"])


@pytest.mark.parametrize("case", np.load(ROOT / "tests/golden/carl/positional.npz").files)
def test_positions_are_the_published_ones(case):
    length, width, trained = (int(part.lstrip("Sdtrain")) for part in case.split("_"))
    found = positions(length, trained, width).numpy()
    assert close(found, np.load(ROOT / "tests/golden/carl/positional.npz")[case])


# ---------------------------------------------------------------- positions, masks, chunks


@relaxed
@given(st.integers(2, 40), st.integers(1, 30), st.integers(1, 9))
def test_positions_begin_and_end_alike_for_every_length(length, trained, width):
    found, plain = positions(length, trained, width), positions(trained, trained, width)
    assert found.shape == (length, width)
    assert torch.allclose(found[0], plain[0]) and torch.allclose(found[-1], plain[-1], atol=1e-9)


@relaxed
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_what_padding_shows_does_not_matter_to_other_frames(seed, real):
    model, x = tiny(), pictures(2, 6, 3, 20, 20, seed=seed)
    mask = torch.arange(6).expand(2, 6) < real
    other = torch.where(mask[..., None, None, None], x, pictures(2, 6, 3, 20, 20, seed=seed + 1))
    with torch.no_grad():
        one, two = model(x, mask), model(other, mask)
    assert torch.allclose(one[mask], two[mask], atol=1e-5)


def test_a_view_of_padding_alone_is_no_nan():
    model = tiny().train()
    z = model(pictures(2, 6, 3, 20, 20), torch.tensor([[1.0] * 6, [0.0] * 6]))
    z.sum().backward()
    assert torch.isfinite(z).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_without_positions_and_layers_every_frame_is_for_itself():
    model, x = tiny(positions="none", layers=0), pictures(1, 6, 3, 20, 20)
    with torch.no_grad():
        assert torch.allclose(model(x)[:, [3]], model(x[:, [3]]), atol=1e-5)
        timed = tiny(layers=0)
        assert not torch.allclose(timed(x)[:, [3]], timed(x[:, [3]]), atol=1e-3)


def test_embeddings_have_length_1_if_asked_and_no_projection():
    x = pictures(2, 6, 3, 20, 20)
    with torch.no_grad():
        both = tiny()
        assert torch.allclose(both(x).norm(dim=-1), torch.ones(2, 6)) and not torch.allclose(both(x), both.embed(x))
        free = tiny(projection=False, normalise=False)
        assert torch.equal(free(x), free.embed(x)) and torch.equal(free(x), free.raw(x))
        long = tiny(normalise=False)
        assert torch.allclose(long(x).norm(dim=-1), torch.ones(2, 6))  # losses read unit vectors behind a projection
        assert not torch.allclose(long.embed(x).norm(dim=-1), torch.ones(2, 6))


def test_only_scl_projects_and_only_classification_has_classes():
    for algorithm, scheme in (
        ("scl", "time_augment"),
        ("tcc", "uniform"),
        ("tcn", "tcn"),
        ("classification", "uniform"),
    ):
        options = AlignmentOptions(
            algorithm=algorithm, network=EncoderOptions(**TINY), sampling={"frames": 6, "scheme": scheme}
        )
        model = build(options, classes=3)
        assert (model.head is not None) == (algorithm == "scl")
        assert (model.classifier is not None) == (algorithm == "classification")
    assert model.eval().classify(model(pictures(1, 6, 3, 20, 20))).shape == (1, 6, 3)


def test_the_backbone_works_in_chunks_of_time():
    x = pictures(2, 6, 3, 20, 20)
    with torch.no_grad():
        assert torch.allclose(tiny(chunk=2)(x), tiny()(x), atol=1e-5)
    one, two = (copy.deepcopy(tiny(chunk=chunk)).train() for chunk in (2, 40))
    one(x), two(x)
    assert int(one.backbone.conv1[1].num_batches_tracked) == 3 and int(two.backbone.conv1[1].num_batches_tracked) == 1


def test_dropout_depends_on_the_sample_not_on_its_place_in_the_batch():
    model = tiny(dropout=0.5).train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    name_places(model)
    x, draws = pictures(4, 6, 3, 20, 20), [Draw(sample=i, epoch=0, position=i, seed=0) for i in (0, 1)]
    with sample_keys(draws, x.device):
        both = model(x)
    with sample_keys(draws[1:], x.device):
        second = model(x[2:])  # two views of the second video
    assert torch.allclose(both[2:], second, atol=1e-5)


# ---------------------------------------------------------------- whole videos


@relaxed
@given(st.integers(1, 200), st.integers(1, 50))
def test_chunks_cover_a_video_once_evenly(length, most):
    pieces = chunks(length, most)
    sizes = [last - first for first, last in pieces]
    assert [i for first, last in pieces for i in range(first, last)] == list(range(length))
    assert max(sizes) <= most and all(size == sizes[0] for size in sizes[:-1]) and min(sizes) > 0
    assert sizes[0] == math.ceil(length / math.ceil(length / most))


@relaxed
@given(st.integers(1, 200), st.integers(1, 50), st.sampled_from([0.1, 0.25, 0.5]))
def test_chunks_that_overlap_cover_a_video_too(length, most, overlap):
    pieces = chunks(length, most, overlap)
    assert {i for first, last in pieces for i in range(first, last)} == set(range(length))
    assert all(0 < last - first <= most for first, last in pieces)


def test_a_video_is_embedded_as_the_network_says_piece_by_piece():
    model, x, view = tiny(), pictures(9, 3, 20, 20), ViewOptions(frames=6)
    with torch.no_grad():
        whole = model.embed(x[None])[0].numpy()
        halves = torch.cat([model.embed(x[None, :5])[0], model.embed(x[None, 5:])[0]]).numpy()
        thin = model.embed(x[None, ::2])[0].numpy()
    read = lambda numbers: x[numbers]  # noqa: E731
    assert np.allclose(video_embedding(model, read, 9, view), whole, atol=1e-5)
    assert np.allclose(video_embedding(model, read, 9, view, most=5), halves, atol=1e-5)
    assert np.allclose(video_embedding(model, read, 9, view, stride=2), thin, atol=1e-5)
    mixed = video_embedding(model, read, 9, view, most=6, overlap=0.5)
    assert mixed.shape == (9, 6) and np.allclose(np.linalg.norm(mixed, axis=1), 1, atol=1e-5)
    assert video_embedding(model, read, 1, view).shape == (1, 6)


def test_contexts_come_from_the_whole_video_over_the_borders_of_chunks():
    view = ViewOptions(frames=4, contexts=2, context_stride=3)
    model, x = tiny(encoder="vanilla", contexts=2), pictures(9, 3, 20, 20)
    read = lambda numbers: x[numbers]  # noqa: E731
    whole, parts = (video_embedding(model, read, 9, view, most=most) for most in (9, 2))
    assert np.allclose(whole, parts, atol=1e-5)
    with torch.no_grad():
        assert np.allclose(whole[5], model.embed(x[None, [2, 5]])[0, 0].numpy(), atol=1e-5)
        assert np.allclose(whole[1], model.embed(x[None, [0, 1]])[0, 0].numpy(), atol=1e-5)


def test_rows_of_features_take_the_place_of_pictures():
    model = Aligner(EncoderOptions(**TINY | {"backbone": "features"}), 6, inputs=10).eval()
    rows = pictures(8, 10)
    with torch.no_grad():
        assert np.allclose(
            video_embedding(model, lambda n: rows[n], 8, ViewOptions(frames=6)), model.embed(rows[None])[0], atol=1e-5
        )


# ---------------------------------------------------------------- weights and architecture


def test_first_weights_depend_on_seed_and_name_alone():
    one, same, other, deeper = tiny(), tiny(), tiny(seed=1), tiny(layers=4)
    state = one.state_dict()
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in state.items())
    assert not torch.equal(one.embedder.fc0.weight, other.embedder.fc0.weight)
    assert all(torch.equal(value, deeper.state_dict()[name]) for name, value in state.items())
    layers = [layer.state_dict() for layer in deeper.embedder.layers]
    assert all(torch.equal(layers[0][name], layer[name]) for layer in layers for name in layer)


def test_a_model_is_rebuilt_from_json():
    model = tiny(contexts=2, encoder="vanilla")
    again = Aligner.rebuild(json.loads(json.dumps(model.about())))
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
    assert again.about() == model.about()


def test_parameters_are_as_many_as_published():
    def millions(module) -> float:
        return sum(p.numel() for p in module.parameters()) / 1e6

    with torch.device("meta"):
        two, three = (Transformer(EncoderOptions(layers=layers), 2048, 240) for layers in (2, 3))
        head = Projection(128, 128)
    assert [round(millions(x), 2) for x in (two, three, head)] == [3.06, 3.85, 0.03]


def test_maps_too_small_for_convolutions_are_refused_in_a_sentence():
    model = Aligner(EncoderOptions(**TINY | {"backbone": "small", "encoder": "conv", "conv_width": 4}), 4)
    with pytest.raises(ConfigError, match="5 x 5, but the backbone gives 3 x 3"):
        model(pictures(1, 4, 3, 24, 24))
