"""The door: ``kinoflow STAGE ...``. A stage's module is imported only when that stage is asked for."""

import difflib
import importlib
import sys
from importlib import metadata

# command: (function, one line for `kinoflow --help`). The functions' signatures are the rest: see kinoflow.command.
STAGES = {
    "render": ("kinoflow.datasets.kitchen.render:render", "render the embedded kitchen dataset into mp4 files"),
    "download": ("kinoflow.datasets.download:download", "fetch, verify and unpack the files of a dataset"),
    "annotations": (
        "kinoflow.datasets.published.annotations:annotations",
        "turn a published dataset's annotation files into labels and splits for index",
    ),
    "list-files": (
        "kinoflow.datasets.published.list_files:list_files",
        "write the list files of a published dataset, and report what is missing",
    ),
    "lists": ("kinoflow.datasets.lists:lists", "write the list of videos of every shard of a folder"),
    "probe": ("kinoflow.media.probe:probe", "open every video of a shard once and record what can be read"),
    "probe-files": (
        "kinoflow.features.outside:probe_files",
        "open every feature file of a shard once and record its shape",
    ),
    "probe-pictures": (
        "kinoflow.media.numbered:probe_pictures",
        "look at every picture of a shard of clips that are folders of numbered pictures",
    ),
    "inventory": ("kinoflow.datasets.inventory:inventory", "join the probe tables; list what cannot be read and why"),
    "index": ("kinoflow.datasets.index:index", "join inventory and annotations into videos.csv and segments.csv"),
    "roles": ("kinoflow.datasets.roles:roles", "write split, task and recording of every video, shard by shard"),
    "frames": ("kinoflow.media.frames:frames", "decode the videos of a shard to model size"),
    "picture-frames": (
        "kinoflow.media.picture_frames:picture_frames",
        "make frames of a shard of clips that are folders of numbered pictures",
    ),
    "flow": ("kinoflow.media.flow:flow", "compute the optical flow of a shard's frames"),
    "pictures": (
        "kinoflow.media.pictures:pictures",
        "pack folders of numbered pictures (or published optical flow) into a shard",
    ),
    "export-frames": ("kinoflow.media.export:export_frames", "decode videos into folders of numbered JPEG pictures"),
    "features": ("kinoflow.features.extract:features", "run a backbone over the videos of a shard"),
    "feature-files": (
        "kinoflow.features.outside:feature_files",
        "turn feature files from outside into a feature shard",
    ),
    "pca-partial": ("kinoflow.features.pca:pca_partial", "sum up a feature shard for PCA"),
    "pca-fit": ("kinoflow.features.pca:pca_fit", "merge the partial sums and find the components"),
    "pca-apply": ("kinoflow.features.pca:pca_apply", "project a feature shard onto the components"),
    "recognition-train": (
        "kinoflow.tasks.recognition.train:recognition_train",
        "train a network to say what is done in clips",
    ),
    "recognition-evaluate": (
        "kinoflow.tasks.recognition.evaluate:recognition_evaluate",
        "test trained networks on clips, one or several together",
    ),
    "recognition-section": (
        "kinoflow.tasks.recognition.figures:recognition_section",
        "make the report's section on recognition runs",
    ),
    "recognition-speed": (
        "kinoflow.tasks.recognition.speed:recognition_speed",
        "measure how long trained networks take for a clip and for a streamed frame",
    ),
    "predict": ("kinoflow.tasks.recognition.predict:predict", "say what is done in a video or a folder of videos"),
    "stream": ("kinoflow.tasks.recognition.live:stream", "label a video or a camera live, frame by frame"),
    "data-section": ("kinoflow.datasets.figures:data_section", "make the report's section on a dataset"),
    "pca-section": ("kinoflow.features.figures:pca_section", "make the report's section on a PCA"),
    "claims": ("kinoflow.report.outcome:claims", "join the metrics of all runs and decide the study's claims"),
    "report": ("kinoflow.report.page:report", "join the sections into one HTML page"),
    "document": ("kinoflow.document:document", "write the schemas and the option pages from the option models"),
}

USAGE = """usage: kinoflow STAGE [--help] [options]

Video modelling systems on shared cached stages. Every stage is a command of its own:

{stages}

kinoflow STAGE --help tells a stage's files and options. The whole workflow: snakemake --cores 2
"""


def main(words: list[str] | None = None) -> int:
    """Run the command line; return the exit status (0 done, 1 the user's data or options, 2 usage)."""
    words = sys.argv[1:] if words is None else words
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, STAGES)) + 2
        print(USAGE.format(stages="\n".join(f"  {name:{width}}{text}" for name, (_, text) in STAGES.items())), end="")
        return 0 if words else 2
    if words[0] == "--version":
        print(f"kinoflow {version()}")
        return 0
    if words[0] not in STAGES:
        close = difflib.get_close_matches(words[0], STAGES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "`kinoflow --help` lists the stages"
        print(f"kinoflow: there is no stage {words[0]!r}; {hint}", file=sys.stderr)
        return 2
    from kinoflow.command import run

    target = STAGES[words[0]][0]
    module, _, name = target.partition(":")
    return run(target, getattr(importlib.import_module(module), name), words[1:])


def version() -> str:
    """Return the installed version; sources that were never installed have none."""
    try:
        return metadata.version("kinoflow")
    except metadata.PackageNotFoundError:
        return "(not installed)"
