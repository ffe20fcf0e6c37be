"""What the network reads: the published values (golden), and the three chains on small clips."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from kinoflow.errors import ConfigError, DataError
from kinoflow.tasks.recognition import crops
from kinoflow.tasks.recognition.inputs import (
    channels,
    check_crops,
    differences,
    luma,
    normalisation,
    prepare_test,
    prepare_training,
    prepare_validation,
    short_side,
    shown,
)
from kinoflow.tasks.recognition.options import InputOptions, RecognitionOptions

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "lsnet"
COLOURS = {"contrast": 0.3, "brightness": 0.2, "gain": 0.2}
PLANES = {"rgb": 3, "gray": 3, "difference": 3, "flow": 2}


def recognition(T: int, size: int, augment=None, test=None, backbone: str = "resnet18", **given) -> RecognitionOptions:
    return RecognitionOptions.model_validate(
        {
            "input": {"size": size, **given},
            "sampling": {"segments": T},
            "augment": {"crop": "none", **(augment or {})},
            "test": test or {},
            "network": {"backbone": backbone, "shift": None},
        }
    )


def kind_of(kind: str, size: int = 16, **more) -> RecognitionOptions:
    return recognition(4, size, kind=kind, frames={"rgb": 1, "gray": 3, "flow": 2, "difference": 2}[kind], **more)


def clip(options: RecognitionOptions, height: int = 20, width: int = 26, clips: int = 1) -> np.ndarray:
    rng, given = np.random.default_rng(1), options.input
    shape = (clips * options.sampling.segments, given.frames + (given.kind == "difference"), height, width)
    return rng.integers(0, 256, (*shape, PLANES[given.kind]), np.uint8)


def gray_levels(x: np.ndarray, options: RecognitionOptions) -> np.ndarray:
    """Undo plain normalisation of gray."""
    return (x * 0.226 + 0.449) * 255


# ---------------------------------------------------------------- the published values


@pytest.fixture(scope="module")
def inputs():
    return dict(np.load(GOLDEN / "lsnet_input.npz"))


@pytest.fixture(scope="module")
def transforms():
    return dict(np.load(GOLDEN / "transforms.npz"))


@pytest.mark.parametrize("case", range(3))
def test_luma_is_the_published_one(inputs, case):
    np.testing.assert_array_equal(luma(inputs[f"c{case}_rgb"]), inputs[f"c{case}_gray"])


@pytest.mark.parametrize("case", range(3))
def test_normalised_gray_is_the_published_one(inputs, case):
    T, nf = inputs[f"c{case}_T_nf"].tolist()
    gray = inputs[f"c{case}_gray"] / 255
    mean, deviation = normalisation(InputOptions(kind="gray", frames=nf, normalise="original"), T, "resnet18")
    got = (gray - mean.reshape(-1, 1, 1)) / deviation.reshape(-1, 1, 1)
    np.testing.assert_allclose(got, inputs[f"c{case}_x"], atol=1e-5)


@pytest.mark.parametrize("case", range(3))
def test_gray_input_for_validation_and_test_is_the_published_one(inputs, case, monkeypatch):
    T, nf = inputs[f"c{case}_T_nf"].tolist()
    frames = inputs[f"c{case}_rgb"].reshape(T, nf, 12, 14, 3)
    options = recognition(T, 16, kind="gray", frames=nf, normalise="original")
    tiny = options.input.model_copy(update={"size": 8})  # smaller than users may ask for
    options = options.model_copy(update={"input": tiny})
    monkeypatch.setattr("kinoflow.tasks.recognition.inputs.short_side", lambda options: 10)
    validation, test = prepare_validation(frames, options), prepare_test(frames, options, mirror=False)
    np.testing.assert_allclose(validation.reshape(-1, 8, 8), inputs[f"c{case}_gray_then_crop"], atol=1e-5)
    np.testing.assert_allclose(test.reshape(-1, 8, 8), inputs[f"c{case}_crop_then_gray"], atol=1e-5)


@pytest.mark.parametrize(("backbone", "name"), [("resnet18", "pipe_rgb"), ("bn_inception", "pipe_bninception")])
def test_rgb_input_is_the_published_one(transforms, backbone, name):
    options = recognition(3, 20, backbone=backbone, kind="rgb")
    got = prepare_validation(transforms["center"][:, None], options)
    np.testing.assert_allclose(got.reshape(9, 20, 20), transforms[name], rtol=1e-5, atol=1e-5)


def test_flow_input_is_the_published_one(transforms):
    scale, size = transforms["scale_size_crop"].tolist()
    field = transforms["flow_img"].reshape(1, 2, 2, *transforms["flow_img"].shape[1:]).transpose(0, 1, 3, 4, 2)
    options = recognition(1, size, kind="flow", frames=2)
    central = crops.centre_crop(crops.scale_short(field[0], scale), size)[None]
    got = prepare_validation(central, options)
    np.testing.assert_allclose(got.reshape(4, size, size), transforms["pipe_flow"], atol=1e-5)


def test_differences_are_the_published_ones():
    golden = np.load(GOLDEN / "consensus.npz")
    T, L = golden["diff_T_newlen"].tolist()
    pictures = golden["diff_in"].reshape(2, T, L + 1, 3, 4, 4)
    np.testing.assert_allclose(differences(pictures), golden["diff_out"], atol=1e-9)
    np.testing.assert_allclose(differences(pictures), golden["diff_keep_rgb"][:, :, 1:], atol=1e-9)


# ---------------------------------------------------------------- values


@given(arrays(np.uint8, (2, 5, 4)))
def test_gray_of_a_gray_picture_is_itself(gray):
    np.testing.assert_array_equal(luma(np.repeat(gray[..., None], 3, axis=-1)), gray)


@given(arrays(np.uint8, (3, 4, 3)))
def test_luma_follows_its_formula(colours):
    r, g, b = np.moveaxis(colours.astype(int), -1, 0)
    np.testing.assert_array_equal(luma(colours), (19595 * r + 38470 * g + 7471 * b + 32768) >> 16)


def test_plain_gray_has_one_mean_and_original_leaves_the_last_planes_alone():
    options = InputOptions(kind="gray", frames=5)
    mean, deviation = normalisation(options, 8, "resnet50")
    assert mean.shape == deviation.shape == (8, 5)
    np.testing.assert_allclose([mean, deviation], [np.full((8, 5), 0.449), np.full((8, 5), 0.226)])
    mean, deviation = normalisation(options.model_copy(update={"normalise": "original"}), 8, "resnet50")
    assert (mean[-1, -1], deviation[-1, -1]) == (0, 1)
    assert mean.ravel()[:4].tolist() == [0.485, 0.456, 0.406, 0.485]


def test_bn_inception_reads_values_up_to_255_of_every_kind():
    means = {"rgb": (104, 117, 128), "gray": (349 / 3,) * 3, "flow": (128,) * 4}
    for kind, mean in means.items():
        options = kind_of(kind, backbone="bn_inception")
        x = prepare_validation(np.full_like(clip(options), 255), options)
        np.testing.assert_allclose(x[0, :, 0, 0], 255 - np.array(mean), rtol=1e-5, err_msg=kind)
    options = kind_of("difference", backbone="bn_inception")
    frames = clip(options, 16, 16)
    wanted = np.diff(frames.astype(int), axis=1)[..., ::-1].transpose(0, 1, 4, 2, 3).reshape(4, 6, 16, 16)
    np.testing.assert_allclose(prepare_validation(frames, options), wanted, atol=1e-4)


@pytest.mark.parametrize("kind", PLANES)
def test_planes_are_as_many_as_channels_says_whichever_the_chain(kind):
    options = kind_of(kind)
    frames, wanted = clip(options), (4, channels(options.input), 16, 16)
    for x in (
        prepare_training(frames, options, True, np.random.default_rng(0)),
        prepare_validation(frames, options),
        prepare_test(frames, options, True)[0],
    ):
        assert x.shape == wanted and x.dtype == np.float32 and x.flags.c_contiguous


def test_differences_are_shares_of_white_and_are_not_centred():
    options = kind_of("difference")
    frames = clip(options, 16, 16)
    wanted = np.diff(frames.astype(float) / 255, axis=1).transpose(0, 1, 4, 2, 3).reshape(4, 6, 16, 16)
    np.testing.assert_allclose(prepare_validation(frames, options), wanted, atol=1e-6)


def test_flow_planes_are_x_and_y_in_turn():
    options = kind_of("flow")
    frames = np.zeros((4, 2, 16, 16, 2), np.uint8)
    frames[..., 0], frames[:, 1, ..., 1] = 255, 51
    x = prepare_validation(frames, options)[2, :, 0, 0]
    np.testing.assert_allclose(x, (np.array([1, 0, 1, 0.2]) - 0.5) / 0.226, rtol=1e-5)


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("kind", PLANES)
@pytest.mark.parametrize("crop", ["multi_scale", "shift", "none"])
def test_a_training_clip_is_a_function_of_its_generator(kind, crop):
    options = kind_of(kind, augment={"crop": crop, **COLOURS})
    frames = clip(options)
    once, again, other = (prepare_training(frames, options, True, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


@pytest.mark.parametrize("crop", ["multi_scale", "shift", "none"])
@pytest.mark.parametrize("kind", ["rgb", "gray", "flow"])
def test_every_frame_of_a_clip_gets_the_same_draw(kind, crop):
    options = kind_of(kind, augment={"crop": crop, **COLOURS})
    one = clip(options)[:1, :1]
    frames = np.broadcast_to(one, (4, options.input.frames, *one.shape[2:]))
    x = prepare_training(frames, options, True, np.random.default_rng(5))
    per_frame = x.reshape(4, options.input.frames, -1)
    assert (per_frame == per_frame[:1, :1]).all()


def test_without_any_variation_training_is_validation():
    options = kind_of("rgb", augment={"flip": False})
    frames = clip(options)
    trained = prepare_training(frames, options, True, np.random.default_rng(0))
    np.testing.assert_array_equal(trained, prepare_validation(frames, options))


@pytest.mark.parametrize("kind", PLANES)
def test_half_of_the_clips_are_mirrored_where_that_is_allowed_and_none_elsewhere(kind):
    options = kind_of(kind)
    frames = clip(options, 16, 16)
    plain = prepare_validation(frames, options)
    flow = kind == "flow"
    mirrored = crops.mirror(frames.reshape(-1, *frames.shape[2:]), flow).reshape(frames.shape)
    mirrored = prepare_validation(mirrored, options)
    count = 0
    for seed in range(60):
        x = prepare_training(frames, options, True, np.random.default_rng(seed))
        assert np.array_equal(x, plain) or np.array_equal(x, mirrored)
        count += np.array_equal(x, mirrored)
        forbidden = prepare_training(frames, options, False, np.random.default_rng(seed))
        np.testing.assert_array_equal(forbidden, plain)
    assert 15 < count < 45


def test_shifted_clips_move_by_at_most_the_option():
    options = kind_of("rgb", 20, augment={"crop": "shift", "shift": 2, "flip": False})
    frames = clip(options, 20, 20)
    possible = {
        prepare_validation(crops.shift_crop(frames[:, 0], 20, x, y)[:, None], options).tobytes()
        for x in range(-2, 3)
        for y in range(-2, 3)
    }
    drawn = {prepare_training(frames, options, False, np.random.default_rng(i)).tobytes() for i in range(300)}
    assert drawn == possible


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from(["rgb", "gray"]))
def test_colours_change_by_contrast_then_brightness_then_gain(seed, kind):
    options = kind_of(kind, augment={"flip": False, **COLOURS})
    frames = clip(options, 16, 16)
    got = prepare_training(frames, options, False, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    rng.random()  # to mirror or not
    contrast, brightness, *gains = rng.uniform(-1, 1, 5) * [0.3, 0.2, 0.2, 0.2, 0.2]
    pixels = (frames if kind == "rgb" else luma(frames)[..., None]).transpose(0, 1, 4, 2, 3) / 255
    changed = (pixels - pixels.mean()) * (1 + contrast) + pixels.mean() + brightness
    if kind == "rgb":
        changed = changed * (1 + np.array(gains)).reshape(3, 1, 1)
    mean, deviation = normalisation(options.input, 4, "resnet18")
    changed = changed.reshape(4, 3, 16, 16)
    wanted = (changed - mean[..., None, None]) / deviation[..., None, None]
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_contrast_scales_differences_and_leaves_flow_alone():
    for kind in ("difference", "flow"):
        options = kind_of(kind, augment={"flip": False, **COLOURS})
        frames = clip(options, 16, 16)
        rng = np.random.default_rng(0)
        rng.random()
        factor = 1 + 0.3 * rng.uniform(-1, 1) if kind == "difference" else 1
        got = prepare_training(frames, options, False, np.random.default_rng(0))
        np.testing.assert_allclose(got, factor * prepare_validation(frames, options), atol=1e-5)


@pytest.mark.parametrize("kind", PLANES)
def test_crops_of_training_have_the_published_sizes_of_their_kind_of_input(kind, monkeypatch):
    sizes, published = crops.crop_sizes, (1.0, 0.875, 0.75, 0.66) if kind in ("rgb", "gray") else (1.0, 0.875, 0.75)
    seen = []
    monkeypatch.setattr(crops, "crop_sizes", lambda *given: seen.append(given[-1]) or sizes(*given))
    for scales in (None, [0.5, 0.8]):
        options = kind_of(kind, augment={"crop": "multi_scale", "scales": scales})
        prepare_training(clip(options), options, True, np.random.default_rng(0))
    assert seen == [published, (0.5, 0.8)]


def test_training_makes_gray_of_pictures_that_are_cut_scaled_and_mirrored():
    options = kind_of("gray", 24, augment={"crop": "multi_scale", "scales": [1.0, 0.7]})
    frames = clip(options, 30, 40)
    for seed in range(10):
        got = prepare_training(frames, options, True, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        crop = crops.draw_crop(40, 30, 24, (1.0, 0.7), rng)
        published = crops.resize(crops.cut_crop(frames.reshape(-1, 30, 40, 3), crop), 24, 24)
        published = luma(crops.mirror(published) if rng.random() < 0.5 else published)
        np.testing.assert_allclose(gray_levels(got, options).reshape(published.shape), published, atol=1e-3)


# ---------------------------------------------------------------- validation and test


def test_pictures_are_tested_a_little_larger_only_where_training_crops_are_smaller_than_they_are():
    assert short_side(kind_of("rgb", 224, augment={"crop": "multi_scale"})) == 256
    assert short_side(kind_of("rgb", 40, augment={"crop": "shift"})) == 40


def test_validation_scales_cuts_and_normalises():
    options = kind_of("rgb", 16, augment={"crop": "multi_scale"})
    frames = clip(options)
    got = prepare_validation(frames, options)
    image = Image.fromarray(frames[1, 0]).resize((23, 18), Image.Resampling.BILINEAR)
    wanted = np.asarray(image)[1:17, 4:20].transpose(2, 0, 1) / 255
    wanted = (wanted - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape([0.229, 0.224, 0.225], (3, 1, 1))
    np.testing.assert_allclose(got[1], wanted, atol=1e-5)


@pytest.mark.parametrize("kind", PLANES)
@pytest.mark.parametrize(("count", "full"), [(1, False), (3, False), (5, True), (10, False)])
def test_crops_come_first_then_segments(kind, count, full):
    options = kind_of(kind, augment={"crop": "multi_scale"}, test={"crops": count, "full_resolution": full})
    frames = clip(options, clips=2)
    x = prepare_test(frames, options, True)
    side = 18 if full else 16
    assert x.shape == (count, 8, channels(options.input), side, side) and x.dtype == np.float32
    for half in (slice(0, 4), slice(4, 8)):  # every clip is prepared as if it were alone
        np.testing.assert_array_equal(x[:, half], prepare_test(frames[half], options, True))


def test_every_clip_of_a_test_leaves_its_own_last_planes_alone():
    options = recognition(4, 16, kind="gray", frames=1, normalise="original")
    frames = np.full((8, 1, 16, 16, 3), 255, np.uint8)
    x = prepare_test(frames, options, False)[0, :, 0, 0, 0]
    np.testing.assert_allclose(x[:4], x[4:])
    np.testing.assert_allclose(x[[3, 7]], 1)


def test_ten_crops_are_refused_in_one_sentence_where_mirroring_is_forbidden():
    options = kind_of("rgb", test={"crops": 10})
    with pytest.raises(ConfigError, match=r"^test\.crops: 10 crops show clips mirrored") as refused:
        prepare_test(clip(options), options, mirror=False)
    assert "\n" not in str(refused.value)
    check_crops(options.test, mirror=True)
    check_crops(kind_of("rgb", test={"crops": 5}).test, mirror=False)


@pytest.mark.parametrize(("kind", "other"), [("flow", "rgb"), ("gray", "flow")])
def test_frames_of_the_wrong_kind_are_refused(kind, other):
    with pytest.raises(DataError, match=f"input.kind: {kind} is made of frames with"):
        prepare_validation(clip(kind_of(other)), kind_of(kind))


# ---------------------------------------------------------------- what people see of it


@pytest.mark.parametrize("backbone", ["resnet18", "bn_inception"])
@pytest.mark.parametrize("kind", PLANES)
def test_what_the_network_is_shown_is_seen_as_the_frames_were(kind, backbone):
    options = kind_of(kind, 20, augment={"flip": False, "contrast": 0, "brightness": 0, "gain": 0}, backbone=backbone)
    frames = clip(options, 20, 20)
    planes = prepare_training(frames, options, False, np.random.default_rng(0))
    flat = frames.reshape(-1, *frames.shape[2:])
    expected = {
        "rgb": flat,
        "gray": np.stack([luma(flat)] * 3, -1) if frames.shape[-1] == 3 else None,
        "flow": np.concatenate([flat, np.full_like(flat[..., :1], 128)], -1),
        "difference": 127.5 + np.diff(frames.astype(float), axis=1).reshape(-1, *frames.shape[2:]) / 2,
    }[kind]
    found = shown(planes, options)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, expected, atol=0.51)
