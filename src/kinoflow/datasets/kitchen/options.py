"""Options of the embedded kitchen dataset."""

from kinoflow.options import Options, option


class KitchenOptions(Options):
    """Sizes, seed and difficulty of the rendered videos and of the recipe texts."""

    seed: int = option(0, "seed of everything that is drawn: recipes, looks, motions", "", ge=0, le=2**32 - 1)
    training_videos: int = option(90, "videos for training (kitchens 0 to 8)", "videos", ge=1, le=100000)
    test_videos: int = option(
        30, "videos for testing (kitchens 9 to 11, recipes that never occur in training)", "videos", ge=1, le=100000
    )
    texts: int = option(4000, "recipes of the text corpus; none is a test video's", "recipes", ge=0, le=10_000_000)
    size: int = option(
        96,
        "width and height of the picture; even; what is drawn, the labels included, does not depend on it",
        "pixels",
        ge=32,
        le=1024,
        multiple_of=2,
    )
    fps: int = option(
        12, "frame rate; from 6 on, every phase of every step has a frame", "frames per second", ge=6, le=120
    )
    tremble: float = option(
        0.034,
        "how far the hand trembles: hides slow motion from windows of a few frames",
        "share of the picture",
        ge=0,
        le=0.2,
    )
    grammar: float = option(
        0.9, "chance with which a recipe follows a rule of the grammar (0.5: no rules)", "probability", ge=0.5, le=1
    )
    min_steps: int = option(8, "fewest steps of a recipe; the grammar has none with less than 8", "steps", ge=8, le=12)
    max_steps: int = option(15, "most steps of a recipe; the grammar has few with more than 15", "steps", ge=12, le=19)
    crf: int = option(23, "quality of the H.264 encoder, lower is better", "CRF", ge=0, le=51)
