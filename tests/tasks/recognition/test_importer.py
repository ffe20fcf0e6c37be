"""TSM's published files as checkpoints: the published logits, and predict, stream and tests that work with them."""

import csv
import json

import numpy as np
import pytest
import torch
from tests.tasks.recognition.networks import FORWARD, META, close, described, procedural, published_clips, recogniser
from tests.tasks.recognition.test_tuning import NAMES, written

from kinoflow.command import run
from kinoflow.errors import ConfigError, DataError
from kinoflow.media.decode import decode_video
from kinoflow.tasks.recognition import inputs
from kinoflow.tasks.recognition.evaluate import recognition_evaluate
from kinoflow.tasks.recognition.importer import recognition_import
from kinoflow.tasks.recognition.live import stream
from kinoflow.tasks.recognition.options import ClipTestOptions, PredictOptions, StreamOptions
from kinoflow.tasks.recognition.predict import predict
from kinoflow.tasks.recognition.sampling import segments
from kinoflow.tasks.recognition.scoring import Trained, read_checkpoint


def imported(weights, count: int = 6, **more) -> Trained:
    listed, model = weights.parent / "classes.txt", weights.parent / "model.safetensors"
    listed.write_text("".join(f"class {i}\n" for i in range(count)))
    recognition_import(weights, listed, model, **more)
    return read_checkpoint(model)


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", NAMES)
def test_a_file_of_tsm_becomes_a_checkpoint_that_gives_the_published_logits(tmp_path, case):
    path = written(tmp_path / NAMES[case], procedural(described(META[case])))
    found = imported(path, META[case]["classes"])
    with torch.no_grad():
        assert close(found.network(published_clips(case))["action"], FORWARD[f"{case}_logits"])
    assert inputs.channels(found.options.input) == META[case]["shape"][1] // META[case]["T"]
    assert found.options.input.kind == found.network.kind and found.options.sampling.segments == 4
    assert found.heads == {"action": tuple(f"class {i}" for i in range(META[case]["classes"]))}


def test_frames_are_chosen_and_normalised_as_the_published_code_does(tmp_path):
    case = "lsnet_r18_nf5"
    found = imported(written(tmp_path / NAMES[case], procedural(described(META[case]))), META[case]["classes"])
    told = found.options.input
    assert (told.frames, told.interval, told.border, told.normalise) == (5, 1, "original", "original")
    assert (found.options.sampling.cover, found.options.sampling.scheme) == ("original", "uniform")
    dense = written(tmp_path / "TSM_kinetics_RGB_resnet18_shift8_blockres_avg_segment8_e100_dense.pth",
                    recogniser(segments=8, shift=8))  # fmt: skip
    assert imported(dense).options.sampling.scheme == "dense"


@pytest.mark.parametrize(("dataset", "mirror"), [("kinetics", True), ("somethingv2", False), ("jester", False)])
def test_ten_crops_are_refused_where_classes_tell_left_from_right(tmp_path, dataset, mirror):
    found = imported(written(tmp_path / f"TSM_{dataset}_RGB_resnet18_avg_segment4_e50.pth", recogniser()))
    assert (found.mirror, found.dataset) == (mirror, dataset)


def test_predict_tells_what_the_network_says_of_the_frames(tmp_path, make_video):
    network = recogniser(shift=8, seed=3).eval()
    network.fc["action"].weight.data.mul_(300)
    name = "TSM_kinetics_RGB_resnet18_shift8_blockres_avg_segment4_e50.pth"
    found = imported(written(tmp_path / name, network))
    video = make_video(tmp_path / "a.mp4", frames=24)
    predict([video], tmp_path / "model.safetensors", PredictOptions(top=6), table=tmp_path / "told.csv")
    frames = np.concatenate([block for block, _ in decode_video(video, found.frames)])
    moments = segments(24, found.options.sampling, mode="test")
    with torch.no_grad():
        x = torch.from_numpy(inputs.prepare_test(frames[moments][:, None], found.options, mirror=True)[0])
        expected = network(x[None])["action"][0].softmax(0).numpy()
    (row,) = rows(tmp_path / "told.csv")
    assert [row[f"action_{k}"] for k in range(1, 7)] == [f"class {i}" for i in np.argsort(-expected)]
    shares = [float(row[f"action_{k}_probability"]) for k in range(1, 7)]
    assert shares == pytest.approx(sorted(expected, reverse=True), abs=1e-4)


def test_the_network_of_the_live_demo_is_streamed(tmp_path, make_video):
    path = written(tmp_path / "mobilenetv2_jester_online.pth.tar", recogniser(shift=8, one_sided=True))
    name = "TSM_jester_RGB_resnet18_shift8_blockres_avg_segment4_e100_online.pth"
    imported(path, name=name, one_sided=True)
    video = make_video(tmp_path / "a.mp4", frames=8)
    stream(str(video), tmp_path / "model.safetensors", StreamOptions(), table=tmp_path / "told.csv")
    assert len(rows(tmp_path / "told.csv")) == 4
    with pytest.raises(ConfigError, match="one_sided"):
        imported(path, name="TSM_jester_RGB_resnet18_avg_segment4_e100.pth", one_sided=True)


def test_it_is_tested_as_one_of_ours(tmp_path, bars):
    network = recogniser(classes=2, shift=8)
    path = written(tmp_path / "TSM_bars_RGB_resnet18_shift8_blockres_avg_segment4_e50.pth", network)
    (tmp_path / "classes.txt").write_text("left\nright\n")
    words = ["--weights", path, "--classes", tmp_path / "classes.txt", "--model", tmp_path / "m.safetensors"]
    stage = "kinoflow.tasks.recognition.importer:recognition_import"
    assert run(stage, recognition_import, [*map(str, words), "--head", "verb"]) == 0
    outputs = {key: tmp_path / f"{key}.out" for key in ("metrics", "predictions", "confusion")}
    given = {"videos": bars.videos, "segments": bars.segments, "frames": bars.shards, "device": "cpu"}
    recognition_evaluate([tmp_path / "m.safetensors"], options=ClipTestOptions(), **outputs, **given)
    found = json.loads(outputs["metrics"].read_bytes())["verb"]
    assert (found["clips"], found["unseen"], found["majority"]["top1"]) == (8, 0, None)


def test_lists_that_do_not_fit_are_refused(tmp_path):
    path = written(tmp_path / NAMES["tsm_r18_block8"], recogniser(shift=8, shift_place="block"))
    with pytest.raises(DataError, match=r"classes.txt: it lists 5 classes, but .* tells 6 apart"):
        imported(path, 5)
    (tmp_path / "twice.txt").write_text("a\na\nb\nc\nd\ne\n")
    with pytest.raises(DataError, match="the class 'a' stands there twice"):
        recognition_import(path, tmp_path / "twice.txt", tmp_path / "m")


@pytest.mark.parametrize("name", ["w.pth", "w.pth.tar", "w.pt"])
def test_a_file_that_was_not_imported_is_told_how(tmp_path, name):
    torch.save({"state_dict": {}}, tmp_path / name)
    with pytest.raises(DataError, match=f"{name}: .* `kinoflow recognition-import`"):
        read_checkpoint(tmp_path / name)
