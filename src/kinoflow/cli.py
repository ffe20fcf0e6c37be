"""The door: ``kinoflow STAGE ...``. A stage's module is imported only when that stage is asked for."""

import difflib
import sys

# command: (function, one line for `kinoflow --help`). The functions' signatures are the rest: see kinoflow.command.
STAGES = {
    "render": ("kinoflow.datasets.kitchen.render:render", "render the embedded kitchen dataset into mp4 files"),
    "download": ("kinoflow.datasets.download:download", "fetch, verify and unpack the files of a dataset"),
    "annotations": (
        "kinoflow.datasets.published.annotations:annotations",
        "turn a published dataset's annotation files into labels and splits for index",
    ),
    "convert-pouring": (
        "kinoflow.datasets.published.pouring:convert_pouring",
        "turn the TFRecord files of Pouring into videos, labels and splits",
    ),
    "convert-penn-action": (
        "kinoflow.datasets.published.penn_action:convert_penn_action",
        "turn the frames and labels of Penn Action into videos, labels and splits",
    ),
    "cut-finegym": (
        "kinoflow.datasets.published.finegym:cut_finegym",
        "cut the event clips of FineGym and label their elements",
    ),
    "list-files": (
        "kinoflow.datasets.published.list_files:list_files",
        "write the list files of a published dataset, and report what is missing",
    ),
    "video-annotations": (
        "kinoflow.datasets.published.long_videos:video_annotations",
        "turn the annotation files of CrossTask or Breakfast into labels, splits and steps for index",
    ),
    "task-links": (
        "kinoflow.datasets.published.long_videos:task_links",
        "give videos of several tasks of CrossTask a feature file for each task",
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
    "picture-flow": (
        "kinoflow.media.picture_flow:picture_flow",
        "make flow of a shard of clips that are folders of published optical flow",
    ),
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
    "recognition-fuse": (
        "kinoflow.tasks.recognition.fuse:recognition_fuse",
        "add the scores of several tests clip by clip (an ensemble), and measure the sums",
    ),
    "recognition-features": (
        "kinoflow.tasks.recognition.extract:recognition_features",
        "run a trained network along the videos of a shard: features for other rooms",
    ),
    "recognition-import": (
        "kinoflow.tasks.recognition.importer:recognition_import",
        "turn one of TSM's published files of weights into a checkpoint of ours",
    ),
    "recognition-section": (
        "kinoflow.tasks.recognition.figures:recognition_section",
        "make the report's section on recognition runs",
    ),
    "recognition-speed": (
        "kinoflow.tasks.recognition.speed:recognition_speed",
        "measure how long trained networks take for a clip and for a streamed frame",
    ),
    "abstraction-train": (
        "kinoflow.tasks.abstraction.train:abstraction_train",
        "train a network to name what sets of clips have in common",
    ),
    "abstraction-evaluate": (
        "kinoflow.tasks.abstraction.evaluate:abstraction_evaluate",
        "test a model on sets: naming, completion, odd one out",
    ),
    "abstraction-section": (
        "kinoflow.tasks.abstraction.figures:abstraction_section",
        "make the report's section on abstraction runs",
    ),
    "abstraction-import": (
        "kinoflow.tasks.abstraction.importer:abstraction_import",
        "turn a checkpoint of the published set abstraction code into one of ours",
    ),
    "name": ("kinoflow.tasks.abstraction.predict:name", "say what 1 to 6 clips have in common, and which one is odd"),
    "abstraction-toy": (
        "kinoflow.tasks.abstraction.toy:abstraction_toy",
        "write the toy dataset of the abstraction room: features and tables, no videos",
    ),
    "predict": ("kinoflow.tasks.recognition.predict:predict", "say what is done in a video or a folder of videos"),
    "stream": ("kinoflow.tasks.recognition.live:stream", "label a video or a camera live, frame by frame"),
    "taxonomy": (
        "kinoflow.tasks.abstraction.make_taxonomy:taxonomy",
        "make the taxonomy of a dataset's classes and the semantic vectors of its nodes",
    ),
    "abstraction-sets": (
        "kinoflow.tasks.abstraction.make_sets:abstraction_sets",
        "draw sets of clips that have something in common, to learn from and to test with",
    ),
    "abstraction-metadata": (
        "kinoflow.tasks.abstraction.metadata:abstraction_metadata",
        "fetch the published taxonomies, sets, vectors and features",
    ),
    "abstraction-released": (
        "kinoflow.tasks.abstraction.released:abstraction_released",
        "turn published taxonomies, sets, vectors and features into those of the other stages",
    ),
    "segmentation-train": (
        "kinoflow.tasks.segmentation.train:segmentation_train",
        "train a hidden semi-Markov model of long videos, with or without labels",
    ),
    "segmentation-evaluate": (
        "kinoflow.tasks.segmentation.evaluate:segmentation_evaluate",
        "test a trained segmentation: likelihood, and how videos are cut",
    ),
    "segmentation-section": (
        "kinoflow.tasks.segmentation.figures:segmentation_section",
        "make the report's section on segmentation runs",
    ),
    "segmentation-speed": (
        "kinoflow.tasks.segmentation.speed:segmentation_speed",
        "measure what a step of training costs with more and more states",
    ),
    "segment": ("kinoflow.tasks.segmentation.predict:segment", "cut one video into steps"),
    "alignment-train": (
        "kinoflow.tasks.alignment.train:alignment_train",
        "train a network to embed frames, so that the same moment has the same vector",
    ),
    "alignment-embed": (
        "kinoflow.tasks.alignment.embed:alignment_embed",
        "write a network's vectors of all clips as a feature shard",
    ),
    "alignment-features": (
        "kinoflow.tasks.alignment.extract:alignment_features",
        "embed whole videos of a shard by a trained network: features for other rooms",
    ),
    "alignment-evaluate": (
        "kinoflow.tasks.alignment.evaluate:alignment_evaluate",
        "test how well a network's vectors align and tell phases, beside baselines",
    ),
    "alignment-section": (
        "kinoflow.tasks.alignment.figures:alignment_section",
        "make the report's section on alignment runs",
    ),
    "align": ("kinoflow.tasks.alignment.predict:align", "find the same moments in two videos or more"),
    "import-carl": (
        "kinoflow.tasks.alignment.released:import_carl",
        "turn a released checkpoint of CARL into one of ours",
    ),
    "action-sequences": (
        "kinoflow.tasks.anticipation.sequences:action_sequences",
        "read the sequences of actions of a dataset, and its table of classes",
    ),
    "text-corpus": (
        "kinoflow.tasks.anticipation.corpus:text_corpus",
        "turn recipes into sequences of actions",
    ),
    "teacher-pretrain": (
        "kinoflow.tasks.anticipation.pretrain:teacher_pretrain",
        "train a language model on sequences of actions from recipes",
    ),
    "teacher-train": (
        "kinoflow.tasks.anticipation.teacher_train:teacher_train",
        "train a teacher: the next action from the labels of earlier ones",
    ),
    "teacher-records": (
        "kinoflow.tasks.anticipation.teacher_records:teacher_records",
        "write what a teacher says of every segment, and measure it",
    ),
    "teacher-combine": (
        "kinoflow.tasks.anticipation.combine:teacher_combine",
        "combine the records of several teachers into one",
    ),
    "import-teacher-records": (
        "kinoflow.tasks.anticipation.record_import:import_teacher_records",
        "turn the record lists of a published teacher into records",
    ),
    "anticipation-train": (
        "kinoflow.tasks.anticipation.train:anticipation_train",
        "train a student to say what is done next, with or without a teacher",
    ),
    "anticipation-evaluate": (
        "kinoflow.tasks.anticipation.evaluate:anticipation_evaluate",
        "test students of anticipation, one or several together",
    ),
    "anticipation-fuse": (
        "kinoflow.tasks.anticipation.fuse:anticipation_fuse",
        "add the scores of several tests of anticipation (late fusion), and measure the sums",
    ),
    "anticipation-features": (
        "kinoflow.tasks.anticipation.extract:anticipation_features",
        "write what a student makes of whole videos as a feature shard",
    ),
    "anticipation-section": (
        "kinoflow.tasks.anticipation.figures:anticipation_section",
        "make the report's section on students of anticipation",
    ),
    "teachers-section": (
        "kinoflow.tasks.anticipation.teacher_figures:teachers_section",
        "make the report's section on teachers",
    ),
    "anticipation-toy": (
        "kinoflow.tasks.anticipation.toy:anticipation_toy",
        "write the toy dataset of the anticipation room: sequences, features and a teacher, no videos",
    ),
    "anticipation-summary": (
        "kinoflow.tasks.anticipation.summary:anticipation_summary",
        "sum up the measures of several tests: splits of a dataset, or seeds of a run",
    ),
    "anticipate": ("kinoflow.tasks.anticipation.predict:anticipate", "say what is done next in a video"),
    "import-avt": (
        "kinoflow.tasks.anticipation.importer:import_avt",
        "make a checkpoint of AVT into one of a student",
    ),
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
    from kinoflow.command import load, run

    target = STAGES[words[0]][0]
    stage = load(target)
    return run(target, stage, words[1:]) if stage else 1


def version() -> str:
    """Return the installed version; sources that were never installed have none."""
    from importlib import metadata

    try:
        return metadata.version("kinoflow")
    except metadata.PackageNotFoundError:
        return "(not installed)"
