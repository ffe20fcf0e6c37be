import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.datasets.kitchen.kitchens import background, kitchen_look
from kinoflow.datasets.kitchen.scene import WHITE, Scene, rgb

places = st.floats(0.1, 0.9)
views = st.tuples(st.booleans(), st.floats(0.8, 1.2), st.floats(-0.3, 0.3), st.tuples(*[st.floats(-0.05, 0.05)] * 2))


def amount(scene):
    """Painted area in scene units."""
    return scene.pixels[..., 0].sum() / scene.scale**2


def test_a_colour_is_read_from_hexadecimal_digits():
    assert rgb("ff0033").tolist() == np.array([1.0, 0.0, 0.2], np.float32).tolist()


@given(views, places, places)
def test_a_shape_is_painted_where_the_scene_coordinates_say(view, x, y):
    scene = Scene(96, *view)
    scene.disc(x, y, 0.05, WHITE)
    inside = np.hypot(scene.x - x, scene.y - y)
    assert (scene.pixels[inside < 0.03] == 1).all()
    assert (scene.pixels[inside > 0.07] == 0).all()


def test_areas_are_those_of_the_shapes():
    shapes = {
        "disc": ((0.5, 0.5, 0.3), np.pi * 0.09),
        "oval": ((0.5, 0.5, 0.3, 0.3), np.pi * 0.09),
        "box": ((0.5, 0.5, 0.3, 0.2), 0.24 - (4 - np.pi) * 0.02**2),
        "bar": ((0.2, 0.5, 0.8, 0.5, 0.1), 0.12 + np.pi * 0.01),
    }
    for name, (arguments, area) in shapes.items():
        scene = Scene(128)
        getattr(scene, name)(*arguments, WHITE)
        assert abs(amount(scene) - area) < 0.003, name


@given(views, places, places, st.floats(0, 3), st.sampled_from(["disc", "oval", "box", "bar"]), st.floats(0, 0.1))
def test_no_shape_is_cut_by_its_bounding_box(view, x, y, angle, shape, blur):
    class Unbounded(Scene):
        def _window(self, x, y, reach):
            return slice(None), slice(None)

    pictures = []
    for kind in (Scene, Unbounded):
        scene = kind(64, *view)
        if shape == "disc":
            scene.disc(x, y, 0.1, WHITE, blur=blur)
        elif shape == "bar":
            scene.bar(x, y, 1 - y, x, 0.05, WHITE, blur=blur)
        elif shape == "oval":
            scene.oval(x, y, 0.2, 0.1, WHITE, angle=angle)
        else:
            scene.box(x, y, 0.2, 0.1, WHITE, angle=angle, blur=blur)
        pictures.append(scene.pixels)
    assert np.abs(pictures[0] - pictures[1]).max() < 1e-6


def test_a_shape_outside_the_picture_paints_nothing():
    scene = Scene(48)
    for x, y in ((-0.5, 0.5), (1.5, 0.5), (0.5, -0.5), (0.5, 1.5)):
        scene.disc(x, y, 0.2, WHITE)
    assert not scene.pixels.any()


def test_a_larger_picture_shows_the_same_kitchen():
    for kitchen in range(12):
        small, large = (background(kitchen_look(0, kitchen), size).pixels for size in (96, 192))
        assert np.abs(large.reshape(96, 2, 96, 2, 3).mean((1, 3)) - small).mean() < 0.01


def test_kitchens_differ_and_their_palettes_do_not_depend_on_the_seed():
    looks = [kitchen_look(0, kitchen) for kitchen in range(12)]
    assert len({look.counter.tobytes() for look in looks}) == 12
    other = kitchen_look(1, 3)
    assert other.counter.tolist() == looks[3].counter.tolist() and other.zoom != looks[3].zoom
