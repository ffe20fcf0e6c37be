"""Which labels the network had seen that makes a set of features: said beside every result that reads them."""

from kinoflow.features.options import RunWeights
from kinoflow.study import Study

OUTSIDE = "unknown (features from outside)"


def labels_seen(study: Study, features: str) -> str:
    """Say in words which labels the network had seen that makes a set of features."""
    run = study.features[features]
    if run.source == "files":
        return OUTSIDE
    return _seen_by_run(study, run.weights) if isinstance(run.weights, RunWeights) else _seen_by_file(run.weights)


def _seen_by_file(weights: str) -> str:
    known = {"none": "none (weights as they are drawn)"}
    published = f"those of the published weights {weights}"
    return known.get(weights, published if weights.startswith("torchvision:") else "unknown (a file's weights)")


def _seen_by_run(study: Study, place: RunWeights) -> str:
    """Say the same of the network of a run, with what it began with."""
    if place.study not in (None, study.study) or place.room == "anticipation":
        return f"those of the {place.room} run {place.run}"
    if place.room == "recognition":
        heads = study.recognition[place.run].heads
        return f"{', '.join(heads)} (the recognition run {place.run})"
    run = study.alignment[place.run]
    first = run.weights or run.initial
    told = [_seen_by_run(study, first) if first else _seen_by_file(run.network.weights)]
    told += ["phases"] if run.algorithm == "classification" else []
    told += ["where segments begin and end"] if run.clips != "videos" else []
    return f"{', '.join(told)} (the alignment run {place.run})"
