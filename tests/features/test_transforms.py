"""Frames become what torchvision's published transforms make of them."""

import numpy as np
import pytest
import torch

from kinoflow.errors import ConfigError
from kinoflow.features.backbones import member, usual_pictures
from kinoflow.features.options import FeaturesOptions
from kinoflow.features.transforms import Pictures, chosen, decoding


def frames(height: int, width: int, count: int = 3) -> torch.Tensor:
    rng = np.random.default_rng(height * width)
    return torch.from_numpy(rng.integers(0, 256, (count, height, width, 3), np.uint8))


@pytest.mark.parametrize("size", [(60, 80), (300, 260), (256, 400), (333, 257)])
@pytest.mark.parametrize(
    ("name", "weights"),
    [("resnet18", "DEFAULT"), ("efficientnet_b0", "DEFAULT"), ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1")],
)
def test_pictures_equal_the_published_transforms(name, weights, size):
    published = member(name, weights).transforms()
    expected = published(frames(*size).permute(0, 3, 1, 2))
    assert torch.equal(usual_pictures(name, member(name, weights))(frames(*size)), expected)


def test_clips_of_the_published_size_equal_the_published_transforms():
    published = member("r3d_18", "DEFAULT").transforms()
    given = frames(128, 171)  # no scaling: videos were published without antialiasing, ours has it
    torch.testing.assert_close(
        usual_pictures("r3d_18")(given).permute(1, 0, 2, 3), published(given.permute(0, 3, 1, 2)), rtol=0, atol=1e-6
    )


def test_a_size_of_both_sides_is_met():
    assert usual_pictures("r3d_18").size(240, 320) == (112, 112)
    assert usual_pictures("r3d_18")(frames(240, 320)).shape == (3, 3, 112, 112)
    assert Pictures(resize=(20, 30))(frames(40, 40)).shape == (3, 3, 20, 30)


def test_without_published_weights_frames_stay_as_they_are_stored():
    pictures = usual_pictures("small")(frames(40, 52))
    expected = (frames(40, 52).permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.226
    torch.testing.assert_close(pictures, expected)


def test_given_options_lie_over_the_published_ones():
    options = FeaturesOptions(resize=64, mean=(0.1, 0.2, 0.3))
    pictures = chosen(options, usual_pictures("resnet18"))
    assert (pictures.resize, pictures.crop, pictures.mean[0]) == (64, 224, 0.1)
    assert pictures.std == (0.229, 0.224, 0.225) and pictures.interpolation == "bilinear"


def test_a_picture_smaller_than_the_crop_is_left_whole():
    assert Pictures(resize=64, crop=224)(frames(128, 160)).shape == (3, 3, 64, 80)


def test_a_frame_does_not_depend_on_its_block():
    pictures, given = usual_pictures("resnet18"), frames(70, 90, 9)
    whole = pictures(given)
    assert torch.equal(torch.cat([pictures(given[:1]), pictures(given[1:6]), pictures(given[6:])]), whole)


@pytest.mark.parametrize(
    ("resize", "size", "shape"),
    [(64, 64, "keep"), (255, 256, "keep"), ((128, 171), 128, "keep"), ((256, 256), 256, "squash")],
)
def test_videos_are_decoded_at_the_size_of_the_resize(resize, size, shape):
    options = decoding(Pictures(resize=resize))
    assert (options.size, options.shape, options.rate, options.count) == (size, shape, None, None)


def test_videos_without_a_size_are_refused():
    with pytest.raises(ConfigError, match=r"resize.*short side"):
        decoding(Pictures())
    with pytest.raises(ValueError, match="resize"):
        FeaturesOptions(**{"from": "video", "backbone": "small"})
