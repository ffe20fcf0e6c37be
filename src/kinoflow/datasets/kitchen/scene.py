"""A canvas on which shapes are painted as signed distances, from any viewpoint and at any size.

Scene coordinates: x and y in 0..1, y grows towards the cook, who stands at the bottom edge. All arguments are in scene
units. A shape is evaluated only inside its bounding box: a frame costs a few dozen small array operations.
"""

from collections.abc import Callable

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of points relative to the shape's centre; < 0 is inside
Colour = np.ndarray | Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # RGB, or from (x, y, distance)

SHADOW_BLUR = 4 / 96


def rgb(text: str) -> np.ndarray:
    """Return RRGGBB as (3,) float32 in 0..1."""
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255


BLACK, WHITE = np.zeros(3, np.float32), np.ones(3, np.float32)


class Scene:
    """A square canvas seen from one viewpoint: ``pixels`` is (size, size, 3) float32, RGB in 0..1.

    x, y: (size, size) float32, the scene coordinates of each pixel's centre.
    """

    def __init__(
        self,
        size: int,
        flip: bool = False,
        zoom: float = 1.0,
        turn: float = 0.0,
        shift: tuple[float, float] = (0.0, 0.0),
    ):
        self.size, self.scale = size, zoom * size  # pixels per scene unit
        # Scene to pixels is a mirror, a turn and a scale: (u, v) = scale * axes @ (x - 0.5, y - 0.5) + origin.
        mirror = -1.0 if flip else 1.0
        self._axes = (np.cos(turn) * mirror, -np.sin(turn)), (np.sin(turn) * mirror, np.cos(turn))
        self._origin = size * (0.5 + shift[0]), size * (0.5 + shift[1])
        v, u = np.mgrid[0:size, 0:size] + 0.5
        u, v = u - self._origin[0], v - self._origin[1]
        (a, b), (c, d) = self._axes
        self.x = ((a * u + c * v) / self.scale + 0.5).astype(np.float32)
        self.y = ((b * u + d * v) / self.scale + 0.5).astype(np.float32)
        self.pixels = np.zeros((size, size, 3), np.float32)

    def paint(
        self,
        x: float,
        y: float,
        reach: float,
        distance: Distance,
        colour: Colour,
        *,
        edge: np.ndarray | None = None,
        edge_width: float = 0.013,
        opacity: float = 1.0,
        blur: float = 0.0,
    ) -> None:
        """Fill where ``distance`` is negative; nothing of the shape is farther than ``reach`` from its centre (x, y).

        edge: colour of the outline, drawn inside. blur: width of a soft border; a sharp one is one pixel wide.
        """
        soft = max(1.0, blur * self.size)  # pixels over which the border fades
        window = self._window(x, y, reach * self.scale + max(2.0, soft / 2))
        u, v = self.x[window] - np.float32(x), self.y[window] - np.float32(y)
        if u.size == 0:
            return
        d = distance(u, v)
        alpha = np.clip(0.5 - d * (self.scale / soft), 0, 1) * opacity
        fill = colour(u, v, d) if callable(colour) else colour
        if edge is not None:
            outline = np.clip((d + edge_width) * self.scale + 0.5, 0, 1)[..., None]
            fill = fill + (edge - fill) * outline
        part = self.pixels[window]
        part += (fill - part) * alpha[..., None]

    def _window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Return the rows and columns within ``reach`` pixels of a place of the scene."""
        (a, b), (c, d) = self._axes
        u = self.scale * (a * (x - 0.5) + b * (y - 0.5)) + self._origin[0]
        v = self.scale * (c * (x - 0.5) + d * (y - 0.5)) + self._origin[1]
        rows = slice(max(0, int(v - reach)), max(0, int(v + reach) + 1))
        columns = slice(max(0, int(u - reach)), max(0, int(u + reach) + 1))
        return rows, columns

    def disc(self, x: float, y: float, radius: float, colour: Colour, **style) -> None:
        """Paint a disc."""
        self.paint(x, y, radius, lambda u, v: np.sqrt(u * u + v * v) - radius, colour, **style)

    def oval(self, x: float, y: float, a: float, b: float, colour: Colour, angle: float = 0.0, **style) -> None:
        """Paint an ellipse with half-axes a and b; its distance is that of a circle made narrower.

        So a blur is wider at the ends of a long ellipse, where the bounding box cuts it.
        """
        cos, sin = np.cos(angle), np.sin(angle)

        def distance(u, v):
            along, across = (cos * u + sin * v) / a, (cos * v - sin * u) / b
            return (np.sqrt(along * along + across * across) - 1) * min(a, b)

        self.paint(x, y, max(a, b), distance, colour, **style)

    def box(
        self, x: float, y: float, a: float, b: float, colour: Colour, angle: float = 0.0, corner: float = 0.02, **style
    ) -> None:
        """Paint a rectangle with half-sides a and b and rounded corners."""
        cos, sin = np.cos(angle), np.sin(angle)

        def distance(u, v):
            along = np.abs(cos * u + sin * v) - (a - corner)
            across = np.abs(cos * v - sin * u) - (b - corner)
            outside = np.sqrt(np.maximum(along, 0) ** 2 + np.maximum(across, 0) ** 2)
            return outside + np.minimum(np.maximum(along, across), 0) - corner

        self.paint(x, y, np.hypot(a, b), distance, colour, **style)

    def bar(self, x0: float, y0: float, x1: float, y1: float, radius: float, colour: Colour, **style) -> None:
        """Paint a line with round ends, ``radius`` to each side."""
        half_x, half_y = (x1 - x0) / 2, (y1 - y0) / 2
        square = max(half_x * half_x + half_y * half_y, 1e-6)

        def distance(u, v):
            t = np.clip((u * half_x + v * half_y) / square, -1, 1)
            return np.sqrt((u - t * half_x) ** 2 + (v - t * half_y) ** 2) - radius

        self.paint((x0 + x1) / 2, (y0 + y1) / 2, np.hypot(half_x, half_y) + radius, distance, colour, **style)

    def shadow(self, x: float, y: float, a: float, b: float) -> None:
        """Paint the soft shadow of a thing with half-axes a and b."""
        self.oval(x + 0.015, y + 0.025, a, b, BLACK, opacity=0.28, blur=SHADOW_BLUR)
