"""Which study fills the shared folders of a working folder from which files and folders of the user.

The names of shared folders leave places out: a moved folder is the same folder. So two studies that call two folders by one
name would take turns in making all anew.
"""

from pathlib import Path

from kinoflow.datasets.options import FolderSource
from kinoflow.errors import ConfigError
from kinoflow.layout import LABEL_FILES, TAXONOMY_FILES, Layout
from kinoflow.run_state import STATE, read_state
from kinoflow.store.files import sha256_of, write_json

FILE = STATE / "places.json"  # {shared folder: {key of the config: {study: path}}}
KEYS = {"actions": ("path",), "corpora": ("path",), "taxonomies": TAXONOMY_FILES, "released": ("metadata",)}

Places = dict[
    str, dict[str, str]
]  # {shared folder below data/: {key of the config: path, seen from the working folder}}


def places(layout: Layout) -> Places:
    """Return what the shared folders of a study are filled from."""
    found: Places = {}
    for name, dataset in layout.datasets.items():
        options, key = dataset.options, f"datasets.{name}"
        if isinstance(options.source, FolderSource):
            found[dataset.folder] = {f"{key}.source.path": options.source.path}
        if options.annotations and options.annotations.path:
            made = dataset.annotated.removeprefix("data/") or dataset.folder
            found.setdefault(made, {})[f"{key}.annotations.path"] = options.annotations.path
        files = {f"{key}.index.{each}": path for each in LABEL_FILES if (path := getattr(options.index, each))}
        found[f"{dataset.folder}/index/{dataset.index}"] = files
    for section, keys in KEYS.items():
        for name, table in getattr(layout, section).items():
            files = {key: getattr(table.options, key) for key in keys}
            found[table.folder] = {f"{section}.{name}.{key}": path for key, path in files.items() if path}
    return {folder: {key: _here(path) for key, path in named.items()} for folder, named in found.items() if named}


def _here(path: str) -> str:
    """Return a path below the working folder as seen from there: a copy of the whole folder is no other place."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def compare(layout: Layout) -> None:
    """Raise ConfigError where another study of this working folder fills a shared folder from elsewhere."""
    known = read_state(FILE)
    for folder, named in places(layout).items():
        for key, path in named.items():
            for study, other in known.get(folder, {}).get(key, {}).items():
                if study != layout.study.study and _differ(Path(path), Path(other)):
                    raise ConfigError(
                        f"{key}: the study {study} fills data/{folder} from {other}, and each would undo the other's work:"
                        f" give this one another name, or work in another folder (or delete {FILE} if that study is done)"
                    )


def keep(layout: Layout) -> None:
    """Write down what this study fills shared folders from."""
    old = read_state(FILE)
    new = dict(old)
    for folder, named in places(layout).items():
        before = old.get(folder, {})
        new[folder] = before | {k: before.get(k, {}) | {layout.study.study: path} for k, path in named.items()}
    if new != old:
        write_json(FILE, new)


def _differ(mine: Path, other: Path) -> bool:
    """Tell whether two other folders, or files of other content, stand at two places."""
    if mine == other or not (mine.exists() and other.exists()):
        return False
    return not (mine.is_file() and other.is_file()) or sha256_of(mine) != sha256_of(other)
