"""Imports run one way, from the doors down; what is heavy is imported where, and only where, it is always needed."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from tests.conftest import ROOT

from kinoflow import cli

SOURCES = ROOT / "src"
FILES = {
    ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCES / "kinoflow").rglob("*.py"))
}
# Each level may import from those below it, and from itself without circles. Modules and packages, lowest first.
LEVELS = (
    ("errors", "interrupts", "progress", "wording", "refusal", "plain_yaml", "options", "stage", "syntax", "metrics"),
    ("store",),
    ("report",),
    ("media", "training"),
    ("datasets", "features"),
    ("tasks",),
    (
        "config",
        "study",
        "study_parts",
        "study_checks",
        "labels_seen",
        "room_runs",
        "shard_runs",
        "layout",
        "document",
        "fingerprint",
        "watch",
        "arguments",
        "command",
    ),
    (
        *(
            "workflow",
            "run_state",
            "runs",
            "run_files",
            "run_sections",
            "stock",
            "places",
            "cli",
            "__main__",
            "launch",
            "torchrun",
            "needs",
        ),
        *("dataset_rules", "shard_rules", "table_rules", "report_rules"),
    ),
)
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
TOP = len(LEVELS) - 2  # from here up: commands and the workflow
HEAVY = {"torch", "torchvision", "transformers", "av", "cv2", "matplotlib", "sklearn", "scipy", "pandas", "jinja2"}
# The modules that cannot do anything at all without what they import at the top; others import it where they use it.
ALWAYS = {
    "kinoflow.features.arithmetic": {"torch"},
    "kinoflow.features.backbones": {"torch"},
    "kinoflow.features.bn_inception": {"torch"},
    "kinoflow.features.extract": {"torch"},
    "kinoflow.features.resnet3d": {"torch"},
    "kinoflow.features.small": {"torch"},
    "kinoflow.features.transforms": {"torch"},
    "kinoflow.features.weights": {"torch"},
    "kinoflow.media.decode": {"av"},
    "kinoflow.media.demux": {"av"},
    "kinoflow.media.examine": {"av"},
    "kinoflow.media.export": {"av"},
    "kinoflow.media.picture": {"av"},
    "kinoflow.media.picture_frames": {"av"},
    "kinoflow.media.write": {"av"},
    "kinoflow.report.page": {"jinja2"},
    "kinoflow.tasks.abstraction.checkpoints": {"torch"},
    "kinoflow.tasks.abstraction.importer": {"torch"},
    "kinoflow.tasks.abstraction.loss": {"torch"},
    "kinoflow.tasks.abstraction.model": {"torch"},
    "kinoflow.tasks.abstraction.scoring": {"torch"},
    "kinoflow.tasks.abstraction.train": {"torch"},
    "kinoflow.tasks.alignment.augment": {"torch"},
    "kinoflow.tasks.alignment.backbones": {"torch"},
    "kinoflow.tasks.alignment.colours": {"torch"},
    "kinoflow.tasks.alignment.embed": {"torch"},
    "kinoflow.tasks.alignment.encoders": {"torch"},
    "kinoflow.tasks.alignment.loss": {"torch"},
    "kinoflow.tasks.alignment.model": {"torch"},
    "kinoflow.tasks.alignment.positions": {"torch"},
    "kinoflow.tasks.alignment.released": {"torch"},
    "kinoflow.tasks.alignment.scl": {"torch"},
    "kinoflow.tasks.alignment.states": {"torch"},
    "kinoflow.tasks.alignment.tcc": {"torch"},
    "kinoflow.tasks.alignment.trainee": {"torch"},
    "kinoflow.tasks.alignment.weights": {"torch"},
    "kinoflow.tasks.anticipation.aggregators": {"torch"},
    "kinoflow.tasks.anticipation.avt": {"torch"},
    "kinoflow.tasks.anticipation.backbones": {"torch"},
    "kinoflow.tasks.anticipation.dense": {"torch"},
    "kinoflow.tasks.anticipation.encoder": {"torch"},
    "kinoflow.tasks.anticipation.ensemble": {"torch"},
    "kinoflow.tasks.anticipation.extract": {"torch"},
    "kinoflow.tasks.anticipation.importer": {"torch"},
    "kinoflow.tasks.anticipation.language": {"torch"},
    "kinoflow.tasks.anticipation.loss": {"torch"},
    "kinoflow.tasks.anticipation.model": {"torch"},
    "kinoflow.tasks.anticipation.planning": {"torch"},
    "kinoflow.tasks.anticipation.predict": {"torch"},
    "kinoflow.tasks.anticipation.pretrain": {"torch"},
    "kinoflow.tasks.anticipation.scoring": {"torch"},
    "kinoflow.tasks.anticipation.teacher": {"torch"},
    "kinoflow.tasks.anticipation.teacher_train": {"torch"},
    "kinoflow.tasks.anticipation.train": {"torch"},
    "kinoflow.tasks.recognition.backbones": {"torch"},
    "kinoflow.tasks.recognition.extract": {"torch"},
    "kinoflow.tasks.recognition.first_conv": {"torch"},
    "kinoflow.tasks.recognition.groups": {"torch"},
    "kinoflow.tasks.recognition.live": {"av", "torch"},
    "kinoflow.tasks.recognition.loss": {"torch"},
    "kinoflow.tasks.recognition.model": {"torch"},
    "kinoflow.tasks.recognition.non_local": {"torch"},
    "kinoflow.tasks.recognition.scoring": {"torch"},
    "kinoflow.tasks.recognition.shift": {"torch"},
    "kinoflow.tasks.recognition.stream": {"torch"},
    "kinoflow.tasks.recognition.train": {"torch"},
    "kinoflow.tasks.recognition.tuning": {"torch"},
    "kinoflow.tasks.segmentation.chain": {"torch"},
    "kinoflow.tasks.segmentation.classifiers": {"torch"},
    "kinoflow.tasks.segmentation.constraints": {"torch"},
    "kinoflow.tasks.segmentation.decoding": {"torch"},
    "kinoflow.tasks.segmentation.factors": {"torch"},
    "kinoflow.tasks.segmentation.fit": {"torch"},
    "kinoflow.tasks.segmentation.inference": {"torch"},
    "kinoflow.tasks.segmentation.kernels": {"torch"},
    "kinoflow.tasks.segmentation.limits": {"torch"},
    "kinoflow.tasks.segmentation.loss": {"torch"},
    "kinoflow.tasks.segmentation.messages": {"torch"},
    "kinoflow.tasks.segmentation.model": {"torch"},
    "kinoflow.tasks.segmentation.predict": {"torch"},
    "kinoflow.tasks.segmentation.recursion": {"torch"},
    "kinoflow.tasks.segmentation.sampling": {"torch"},
    "kinoflow.tasks.segmentation.scoring": {"torch"},
    "kinoflow.tasks.segmentation.train": {"torch"},
    "kinoflow.tasks.segmentation.trained": {"torch"},
    "kinoflow.training.checkpoint": {"torch"},
    "kinoflow.training.devices": {"torch"},
    "kinoflow.training.distributed": {"torch"},
    "kinoflow.training.feed": {"torch"},
    "kinoflow.training.first_weights": {"torch"},
    "kinoflow.training.gather": {"torch"},
    "kinoflow.training.groups": {"torch"},
    "kinoflow.training.kept": {"torch"},
    "kinoflow.training.loop": {"torch"},
    "kinoflow.training.meter": {"torch"},
    "kinoflow.training.norm": {"torch"},
    "kinoflow.training.optimisers": {"torch"},
    "kinoflow.training.seeds": {"torch"},
    "kinoflow.training.state": {"torch"},
    "kinoflow.training.trainee": {"torch"},
    "kinoflow.training.update": {"torch"},
    "kinoflow.torchrun": {"torch"},
}
# What a stage may load before it has looked at its arguments.
AT_START = {
    "render": {"av"},
    "probe": {"av"},
    "frames": {"av"},
    "picture-frames": {"av"},
    "export-frames": {"av"},
    "features": {"torch"},
    "recognition-train": {"torch"},
    "recognition-evaluate": {"torch"},
    "recognition-features": {"torch"},
    "recognition-fuse": {"torch"},
    "recognition-import": {"torch"},
    "abstraction-train": {"torch"},
    "abstraction-evaluate": {"torch"},
    "abstraction-section": {"torch"},
    "abstraction-import": {"torch"},
    "name": {"torch"},
    "predict": {"av", "torch"},
    "stream": {"av", "torch"},
    "segmentation-train": {"torch"},
    "segmentation-evaluate": {"torch"},
    "segment": {"torch"},
    "alignment-train": {"torch"},
    "alignment-embed": {"torch"},
    "alignment-features": {"torch"},
    "alignment-evaluate": {"torch"},
    "align": {"av", "torch"},
    "import-carl": {"torch"},
    "teacher-pretrain": {"torch"},
    "teacher-train": {"torch"},
    "anticipation-train": {"torch"},
    "anticipation-evaluate": {"torch"},
    "anticipation-fuse": {"torch"},
    "anticipation-features": {"torch"},
    "anticipation-section": {"torch"},
    "anticipate": {"torch"},
    "import-avt": {"torch"},
    "report": {"jinja2"},
}


def imported(path: Path, module: str, inside_functions: bool) -> set[str]:
    """Return the full names of the modules that a module imports (of "from a import b": a.b if that is a module)."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_bytes())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are absolute here"
            found |= {n if (n := f"{node.module}.{alias.name}") in FILES else str(node.module) for alias in node.names}
        todo += ast.iter_child_nodes(node)
    return found


ANYWHERE = {module: imported(path, module, inside_functions=True) for module, path in FILES.items()}
ON_TOP = {module: imported(path, module, inside_functions=False) for module, path in FILES.items()}
EDGES = {module: {name for name in names if name in FILES} for module, names in ANYWHERE.items()}


def part(module: str) -> str:
    """The package or single module of kinoflow that a module belongs to; "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("module", FILES)
def test_every_module_has_a_place_among_the_levels(module):
    assert module == "kinoflow" or part(module) in LEVEL


@pytest.mark.parametrize("module", FILES)
def test_imports_run_downwards(module):
    upwards = {name for name in EDGES[module] if part(name) and LEVEL[part(name)] > LEVEL.get(part(module), 0)}
    assert not upwards


def test_no_imports_go_in_a_circle_not_even_those_inside_functions():
    try:
        TopologicalSorter(EDGES).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_packages_of_one_level_do_not_import_each_other_in_a_circle():
    packages: dict[str, set[str]] = {}
    for module, names in EDGES.items():
        packages.setdefault(part(module), set()).update(
            p for name in names if (p := part(name)) not in ("", part(module))
        )
    TopologicalSorter(packages).prepare()


@pytest.mark.parametrize("module", [module for module in FILES if part(module) in LEVEL and LEVEL[part(module)] < TOP])
def test_the_library_knows_neither_commands_nor_the_workflow(module):
    assert not {name for name in EDGES[module] if LEVEL[part(name)] >= TOP}


def test_only_the_door_and_the_workflow_know_the_command():
    users = {module for module, names in EDGES.items() if "kinoflow.command" in names}
    assert users <= {"kinoflow.cli", "kinoflow.run_state", "kinoflow.workflow"}


def test_no_room_imports_another():
    rooms = {module: module.split(".")[2] for module in FILES if module.startswith("kinoflow.tasks.")}
    crossing = {(m, name) for m, room in rooms.items() for name in EDGES[m] if name in rooms and rooms[name] != room}
    assert not crossing


def test_the_library_runs_without_snakemake():
    assert not {module for module, names in ANYWHERE.items() if any(n.partition(".")[0] == "snakemake" for n in names)}


@pytest.mark.parametrize("path", [path for path in FILES.values() if path.name == "__init__.py"], ids=str)
def test_packages_hold_no_code_of_their_own(path):
    """What stands there would run for, and count in the fingerprint of, every module beside it."""
    assert path.read_bytes() == b""


def test_every_folder_of_modules_is_a_package():
    assert {path.parent for path in FILES.values()} == {
        path.parent for path in FILES.values() if path.name == "__init__.py"
    }


@pytest.mark.parametrize("module", FILES)
def test_what_is_heavy_is_imported_where_it_is_used(module):
    heavy = {name.partition(".")[0] for name in ON_TOP[module]} & HEAVY
    assert heavy <= ALWAYS.get(module, set())


def test_the_list_of_heavy_modules_is_up_to_date():
    loads = {module: {name.partition(".")[0] for name in names} & HEAVY for module, names in ON_TOP.items()}
    assert {module: names for module, names in loads.items() if names} == ALWAYS


@pytest.mark.parametrize("stage", cli.STAGES)
def test_starting_a_stage_loads_only_what_it_always_needs(stage):
    module = cli.STAGES[stage][0].partition(":")[0]
    reached, todo = set(), [module, "kinoflow.cli", "kinoflow.command"]
    while todo:
        name = todo.pop()
        if name in FILES and name not in reached:
            reached.add(name)
            todo += ON_TOP[name]
            todo.append(name.rpartition(".")[0])
    heavy = {name.partition(".")[0] for each in reached for name in ON_TOP[each]} & HEAVY
    assert heavy <= AT_START.get(stage, set())
