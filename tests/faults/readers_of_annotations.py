"""Readers of the annotation files of published datasets."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.faults.formats import Reader, named, one

# ---------------------------------------------------------------- annotation files of published datasets


def _published() -> Iterator[Reader]:
    from tests.datasets.published.releases import finegym, penn_action, sequence_example, tfrecord

    from kinoflow.datasets.published import finegym as gym
    from kinoflow.datasets.published import penn_action as penn
    from kinoflow.datasets.published import tfrecord as records
    from kinoflow.datasets.published.dataset import read_published
    from kinoflow.datasets.published.files import Files
    from kinoflow.datasets.published.options import PublishedOptions

    ucf = {
        "classInd.txt": "1 Archery\n2 Biking\n",
        "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\nBiking/v_Biking_g08_c01.avi 2\n",
    }
    ucf["testlist01.txt"] = "Archery/v_Archery_g01_c01.avi\n"
    k400 = {
        "kinetics_train.csv": "label,youtube_id,time_start,time_end,split\nwaving,abc,1,11,train\ncooking,abd,2,12,train\n"
    }
    tables = {
        "something-something-v1-labels.csv": "Waving\nResting\n",
        "something-something-v1-train.csv": "1;Waving\n2;Resting\n",
    }
    objects = {
        "something-something-v2-labels.json": '{"Waving something": "0", "Resting": "1"}',
        "something-something-v2-train.json": '[{"id": "1", "label": "waving a pen", "template": "Waving [something]"}]',
        "something-something-v2-test.json": '[{"id": "9"}]',
        "something-something-v2-test-answers.csv": "9;Resting\n",
    }
    hmdb = {f"{name}_test_split1.txt": f"{name}_a.avi 1\n{name}_b.avi 2\n" for name in ("wave", "rest")}
    kinds = {
        "ucf101": ucf, "kinetics": k400, "kinetics_csv": {"train.csv": "a/x.mp4,waving\nb/y.mp4,cooking\n", "val.csv": "a/z.mp4,waving\n"},
        "something_v1": tables, "something_v2": objects, "hmdb51": hmdb,
        "list_files": {"train_videofolder.txt": "one 12 1\ntwo 7 0\n", "category.txt": "resting\nwaving\n"},
    }  # fmt: skip
    for kind, files in kinds.items():
        options = PublishedOptions(kind=kind, class_count=2)
        for target in files:
            yield Reader(f"{kind} {target}", named(files), target, lambda p, o=options: read_published(p.parent, o))

    span = {
        "event": 1,
        "timestamps": [[1.0, 2.6]],
        "segments": {"A_0000_0001": {"stages": 1, "timestamps": [[0.0, 0.2]]}},
    }

    def gymnasts(folder: Path) -> None:
        finegym(
            folder,
            {"v": {"E_000001_000003": span}},
            {"v_E_000001_000003_A_0000_0001": 4},
            {"w_E_000001_000003_A_0000_0001": 5},
        )
        (folder / "gym99_categories.txt").write_text(
            "".join(f"Clabel: {i}; set: 1; Glabel: 2; a jump\n" for i in range(99))
        )

    def element_lists(path: Path) -> None:
        gym.class_names(Files(path.parent), 99)

    yield Reader(
        "FineGym annotation", gymnasts, "finegym_annotation_info_v1.0.json", lambda p: gym._annotation(Files(p.parent))
    )
    yield Reader("FineGym categories", gymnasts, "gym99_categories.txt", element_lists)
    yield Reader(
        "FineGym elements",
        gymnasts,
        "gym99_train_element_v1.0.txt",
        lambda p: gym.elements(Files(p.parent), r"gym{}_train_element.*", 99, 99),
    )

    def penn_release(folder: Path) -> None:
        penn_action(folder, {"0001": ("train", "baseball_pitch", 3, 3)})

    yield Reader("Penn Action label", penn_release, "Penn_Action/labels/0001.mat", penn._action_of)
    yield Reader(
        "Penn Action phases",
        penn_release,
        "labels_dir/train/baseball_pitch/0001.npy",
        lambda p: penn._phases(p, "baseball_pitch"),
    )
    example = sequence_example("a-b", [b"one", b"two"], [3, -1])
    yield Reader(
        "TFRecord", lambda f: tfrecord(f / "a.tfrecord", [example]), "a.tfrecord", lambda p: list(records.examples(p))
    )

    def unframed(path: Path) -> None:
        payload = path.read_bytes()
        tfrecord(path.with_suffix(".tfrecord"), [payload], records.crc32c)
        list(records.examples(path.with_suffix(".tfrecord")))

    yield one("sequence example", "a.bin", example, unframed)


def _sequences() -> Iterator[Reader]:
    from kinoflow.datasets.published import breakfast_actions, egtea, epic, salads
    from kinoflow.datasets.published.files import Files

    kitchens = {
        "actions.csv": "id,action,verb,noun\n0,take_cup,0,1\n1,open_door,1,0\n",
        "training.csv": "0,P01_01,10,40,0,1,0\n1,P01_01,50,90,1,0,1\n",
        "validation.csv": "2,P02_01,10,40,0,1,0\n",
        "EPIC_verb_classes.csv": "verb_id,class_key\n0,take\n1,open\n",
        "EPIC_noun_classes.csv": "noun_id,class_key\n0,door\n1,cup\n",
        "EPIC_many_shot_verbs.csv": "verb_class,verb\n0,take\n", "EPIC_many_shot_nouns.csv": "noun_class,noun\n1,cup\n",
        "EPIC_many_shot_actions.csv": "action_class,verb_class,noun_class\n\"(0, 1)\",0,1\n",
        "validation_unseen_participants_ids.csv": "2\n",
        "EPIC_train_action_labels.csv": "uid,start_timestamp,stop_timestamp\n9,00:00:01.00,00:00:02.50\n",
    }  # fmt: skip
    for target in kitchens:
        yield Reader(f"EPIC {target}", named(kitchens), target, lambda p: epic.read(Files(p.parent), "epic55"))
    gaze = {
        "actions.csv": "0,0_1,Take_cup\n1,1_0,Open_door\n", "training1.csv": "0,P01-R01,10,40,0,1,0\n",
        "validation1.csv": "1,P02-R01,10,40,1,0,1\n",
    }  # fmt: skip
    for target in gaze:
        yield Reader(f"EGTEA {target}", named(gaze), target, lambda p: egtea.read(Files(p.parent), 1))
    meals = {
        "mapping.txt": "0 SIL\n1 take_cup\n2 pour_milk\n", "P03_cam01_P03_milk.txt": "SIL\nSIL\ntake_cup\npour_milk\n",
        "P04_cam01_P04_milk.labels": "1-30 SIL\n31-150 take_cup\n", "P16_cam01_P16_milk.txt": "SIL\n", "P30_cam01_P30_milk.txt": "SIL\n",
    }  # fmt: skip
    for target in list(meals)[:3]:
        yield Reader(f"Breakfast {target}", named(meals), target, lambda p: breakfast_actions.read(Files(p.parent), 1))
    name = salads.NAMES[3]
    level = sorted(salads.LEVELS)[0]
    stamped = f"1000 2000 {name}_{level}\n3000 9000 {salads.NAMES[4]}_{level}\n900 9100 cut_and_mix_ingredients\n"
    bowls = {f"0{i}-1-activityAnnotation.txt": stamped for i in range(1, 7)}
    yield Reader(
        "50Salads time stamps", named(bowls), "01-1-activityAnnotation.txt", lambda p: salads.read(Files(p.parent), 1)
    )
    framed = {f"rgb-0{i}-1.txt": f"{name}\n{name}\n{salads.NAMES[4]}\n" for i in range(1, 7)}
    yield Reader("50Salads frames", named(framed), "rgb-01-1.txt", lambda p: salads.read(Files(p.parent), 1))


def _long() -> Iterator[Reader]:
    from tests.conftest import ROOT

    from kinoflow.datasets.published import breakfast, crosstask
    from kinoflow.tasks.segmentation import data

    golden = json.loads((ROOT / "tests/golden/lhsmm/crosstask_mini.json").read_text())["files"]
    places = [name for name in golden if "annotations/" in name or "constraints/" in name]
    for target in [name for name in golden if name not in places] + places[:1] + places[-1:]:
        top = len(Path(target).parts) - 1
        yield Reader(
            f"CrossTask {Path(target).name}", named(golden), target, lambda p, n=top: crosstask.read(p.parents[n])
        )
    yield one(
        "Breakfast spans",
        "P03/cam01/P03_milk.txt",
        "1-30 SIL\n31-150 take_cup\n",
        lambda p: breakfast.read(p.parents[2]),
    )
    yield one("Breakfast labels", "P03_cam01_P03_milk.txt", "SIL\nSIL\ntake_cup\n", lambda p: breakfast.read(p.parent))
    yield one(
        "Breakfast bundle", "train.split1.bundle", "#bundle\ngroundTruth/P03_cam01_P03_milk.txt\n", breakfast.bundle
    )
    yield one("Breakfast mapping", "mapping.txt", "0 SIL\n1 take_cup\n", breakfast.mapping)
    yield one("steps", "steps.csv", "task,number,action\ncake,1,mix\ncake,2,bake\n", data.read_steps)
    yield one("windows", "windows.csv", "video,start,end,action\nv,0.5,2,mix\n", data._windows)


PARTS = (_published, _sequences, _long)
