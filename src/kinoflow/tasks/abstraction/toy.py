"""A toy dataset of features on which the claims about set abstraction can be seen within seconds: no videos, no network.

A tree of 4 groups of 3 subgroups of 3 classes. A clip's feature is what its group, subgroup and class have in common, and much
more that has nothing to do with these: one of three looks of its class, noise, and a scene that any class may stand in.
"""

import numpy as np

from kinoflow.stage import State
from kinoflow.store.files import replacing, write_text

GROUPS, SUBGROUPS, CLASSES, LOOKS, SCENES = 4, 3, 3, 3, 8
WIDTH = 48  # columns of features
COUNTS = {"train": 60, "test": 20}  # clips of each class
HIERARCHY, CLASS, NOISE, SCENE = 0.4, 0.3, 0.5, 0.5  # amplitudes; that of looks is 1


def abstraction_toy(folder: State, seed: int = 0) -> None:
    """Write the toy dataset as feature files, labels and a taxonomy, which workflow/studies/abstraction-toy.yaml reads.

    A file for each class and split, features/<split>-<class>.npy, has a row for every clip, one each second; labels.csv says
    so, tree.txt is the taxonomy as indented text.

    folder: the folder to write into
    seed: of all that is drawn
    """
    _, features, classes = clips(seed)
    rows, first = ["video,start,end,action,split"], 0
    for split, count in COUNTS.items():
        for label in dict.fromkeys(classes):
            name = f"{split}-{label}.npy"
            with replacing(folder / "features" / name) as new, open(new, "wb") as file:
                np.save(file, features[first : first + count])
            rows += [f"{name},{second},{second + 1},{label},{split}" for second in range(count)]
            first += count
    write_text(folder / "labels.csv", "".join(f"{row}\n" for row in rows))
    write_text(folder / "tree.txt", "".join(f"{line}\n" for line in lines()))


def lines() -> list[str]:
    """Return the tree as indented text."""
    found = ["root"]
    for group in range(GROUPS):
        found.append(f"  group{group}")
        for subgroup in range(SUBGROUPS):
            found.append(f"    subgroup{group}{subgroup}")
            found += [f"      class{group}{subgroup}{number}" for number in range(CLASSES)]
    return found


def clips(seed: int) -> tuple[list[str], np.ndarray, list[str]]:
    """Return names, features (V, D) float32 and classes of the clips: training, then test, class after class."""
    rng = np.random.default_rng(seed)
    groups = rng.standard_normal((GROUPS, WIDTH))
    subgroups = rng.standard_normal((GROUPS, SUBGROUPS, WIDTH))
    own = rng.standard_normal((GROUPS, SUBGROUPS, CLASSES, WIDTH))
    looks = rng.standard_normal((GROUPS, SUBGROUPS, CLASSES, LOOKS, WIDTH))
    scenes = rng.standard_normal((SCENES, WIDTH))
    names, features, classes = [], [], []
    for split, count in COUNTS.items():
        for place in np.ndindex(GROUPS, SUBGROUPS, CLASSES):
            label = "class" + "".join(map(str, place))
            centre = HIERARCHY * (groups[place[0]] + subgroups[place[:2]]) + CLASS * own[place]
            look = looks[place][rng.integers(0, LOOKS, count)]
            scene = SCENE * rng.standard_normal((count, SCENES)) @ scenes
            features.append(centre + look + NOISE * rng.standard_normal((count, WIDTH)) + scene)
            names += [f"{split}-{label}-{i:02d}" for i in range(count)]
            classes += [label] * count
    return names, np.maximum(np.concatenate(features), 0).astype(np.float32), classes
