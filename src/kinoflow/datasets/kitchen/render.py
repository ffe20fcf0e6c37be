"""The stage: videos, their truth, and the text corpus of the embedded dataset."""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinoflow.datasets.kitchen.grammar import PlannedVideo, plan_videos, text_corpus
from kinoflow.datasets.kitchen.options import KitchenOptions
from kinoflow.datasets.kitchen.sentences import sentence, written_recipe
from kinoflow.datasets.kitchen.studio import render_videos
from kinoflow.datasets.kitchen.video import Act, plan_film, truth
from kinoflow.datasets.kitchen.world import taxonomy_graph
from kinoflow.stage import Out, State
from kinoflow.store import tables
from kinoflow.store.files import replacing, write_json


@dataclass(frozen=True, kw_only=True)
class Label:
    """A row of the labels: a step, or (``phase`` filled in) a phase inside one."""

    video: str
    start: float  # seconds
    end: float
    action: str
    verb: str
    noun: str
    phase: str = ""
    variant: str
    text: str = ""
    split: str
    recording: str
    task: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """A row of the splits: on which side of the split a video is, and what it is."""

    video: str
    split: str
    recording: str  # the kitchen: all videos of one kitchen are on one side
    task: str  # the dish
    kitchen: int


def render(
    raw: State,
    segments: Out,
    splits: Out,
    recipes: Out,
    sentences: Out,
    taxonomy: Out,
    options: KitchenOptions,
    code: str = "",
    workers: int = 1,
) -> None:
    """Render the embedded kitchen dataset: mp4 files, their truth, and a corpus of recipes.

    A video that is there already, made from the same options by the same code, is kept; so a killed run continues.

    raw: the folder to render into: the videos go to its folder `videos`, in which nothing else is left
    segments: the table of labels to write: steps, and phases inside them; written last, when everything else is there
    splits: the table of splits to write, one row per video
    recipes: the text corpus to write: a line per recipe, actions separated by ` , `
    sentences: the same recipes in English to write: a line of JSON per recipe (id, title, instructions)
    taxonomy: the taxonomy of the actions to write, node-link JSON
    code: fingerprint of the code that renders
    workers: processes that render at the same time
    """
    plan = plan_videos(options)
    for table in (segments, splits):
        table.unlink(missing_ok=True)  # while videos change, no labels of others stand beside them
    render_videos(raw, plan, options, code, workers)
    write_json(taxonomy, taxonomy_graph())
    _write_corpus(recipes, sentences, plan, options)
    tables.write(splits, [_side(video) for video in plan], Side)
    tables.write(segments, [row for video in plan for row in _labels(video, options)], Label)


def _side(video: PlannedVideo) -> Side:
    return Side(
        video=video.file, split=video.split, recording=_recording(video), task=video.dish, kitchen=video.kitchen
    )


def _recording(video: PlannedVideo) -> str:
    return f"kitchen{video.kitchen:02d}"


def _labels(video: PlannedVideo, options: KitchenOptions) -> Iterable[Label]:
    captions = np.random.default_rng([options.seed, zlib.crc32(video.name.encode()), 3])
    for act in truth(plan_film(video, options)):
        yield _label(video, act, act.start, act.end, options.fps, text=sentence(act.action, captions))
        for name, start, end in act.phases:
            yield _label(video, act, start, end, options.fps, phase=name)


def _label(video: PlannedVideo, act: Act, start: int, end: int, fps: int, **filled: str) -> Label:
    verb, noun = act.action.split()
    return Label(
        video=video.file,
        start=start / fps,
        end=end / fps,
        action=act.action,
        verb=verb,
        noun=noun,
        variant=str(act.variant),
        split=video.split,
        recording=_recording(video),
        task=video.dish,
        **filled,
    )


def _write_corpus(short: Path, written: Path, plan: list[PlannedVideo], options: KitchenOptions) -> None:
    """Write the text corpus twice, as actions and as English; line by line, for it may be large."""
    unseen = {video.steps for video in plan if video.split == "test"}
    rng = np.random.default_rng([options.seed, 3])
    with replacing(short) as actions, replacing(written) as english:
        with open(actions, "w", encoding="utf-8") as lines, open(english, "w", encoding="utf-8") as objects:
            for i, (dish, steps) in enumerate(text_corpus(options, unseen)):
                title, told = written_recipe(dish, steps, rng)
                recipe = {"id": f"{i:07d}", "title": title, "instructions": [{"text": text} for text in told]}
                lines.write(" , ".join(steps) + "\n")
                objects.write(json.dumps(recipe) + "\n")
