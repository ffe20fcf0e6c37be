"""The demonstration of alignment's specification: discs that move, and what each part of the method is worth on them.

    python benchmarks/alignment_toy.py --out /tmp/toy --seeds 0 1 2

Six runs without positions: SCL, TCC and TCN on the same network, SCL without context, without augmentation, and with a
one-hot prior. Writes the runs as studies do, <out>/alignment/<run>/seed-<k>/metrics.json, and claims.csv with intervals; says
what was measured. About half a CPU-minute a run.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

NETWORK = {
    "backbone": "tiny",
    "frozen": 0,
    "pool": 3,
    "hidden": 64,
    "width": 64,
    "layers": 1,
    "heads": 4,
    "feed_forward": 128,
    "embedding": 32,
    "positions": "none",
    "projection": False,
    "dropout": 0.0,  # with .1 training collapses to one vector a clip on this world
}
BASE = {
    "network": NETWORK,
    "sampling": {"frames": 32},
    "augment": {"size": 20, "values": "plain", "blur": "none", "strength": 0.5, "evaluate": "resize"},
    "training": {"steps": 200, "batch": 4, "learning_rate": 1e-3, "per": "step", "log_every": 50},
}
RUNS = {
    "scl": {},
    "tcc": {"algorithm": "tcc", "sampling": {"scheme": "uniform", "views": 1}, "network": {"normalise": False}},
    "tcn": {"algorithm": "tcn", "sampling": {"scheme": "tcn", "views": 1}},
    "no_context": {"network": {"layers": 0}},
    "no_augmentation": {"augment": {"crop": False, "flip": False, "jitter": 0.0, "grey": 0.0}},
    "one_hot": {"scl": {"variance": 0.01}},
}
CLAIMS = {
    "order": ("SCL keeps the order of frames, the untrained network does not", "over.untrained.tau", 0.0, 0.4),
    "retrieval": (
        "SCL finds frames of the same phase, the untrained network does not",
        "over.untrained.retrieval_5",
        0.0,
        0.3,
    ),
    "over_tcc": ("SCL aligns better than TCC on the same network", "tau.test", "tcc", 0.0),
    "over_tcn": ("SCL aligns better than TCN on the same network", "tau.test", "tcn", 0.0),
    "context": ("a transformer over the clip aligns better than single frames", "tau.test", "no_context", 0.0),
    "augmentation": ("augmentation is needed", "tau.test", "no_augmentation", 0.0),
    "prior": ("a Gaussian prior is better than a one-hot one", "tau.test", "one_hot", 0.0),
}


def options(run: str):
    """Return the options of a run."""
    from kinoflow.tasks.alignment.options import AlignmentOptions

    values = json.loads(json.dumps(BASE))
    for key, value in RUNS[run].items():
        values[key] = values.get(key, {}) | value if isinstance(value, dict) else value
    return AlignmentOptions.model_validate(values)


def study(out: Path, seeds: list[int], runs: list[str]) -> Path:
    """Train and test the runs; return the table of claims. What is tested already is not trained again."""
    from tests.tasks.alignment import discs

    from kinoflow.report.options import ClaimsOptions
    from kinoflow.report.outcome import claims
    from kinoflow.tasks.alignment.evaluate import alignment_evaluate
    from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions
    from kinoflow.tasks.alignment.train import alignment_train

    metrics = []
    for seed in seeds:
        data = discs.make(out / f"data-{seed}", seed=seed)
        for run in runs:
            place = out / "alignment" / run / f"seed-{seed}"
            model, outputs = place / "model.safetensors", [place / n for n in ("p.csv", "embeddings.h5", "first.h5")]
            metrics.append(place / "metrics.json")
            if metrics[-1].exists():
                continue
            given = {"frames": data.shards, "device": "cpu", "code": "toy"}
            alignment_train(
                data.videos, data.segments, model, place / "history.csv", place / ".work", options(run), seed, **given
            )
            alignment_evaluate(
                model,
                data.videos,
                data.segments,
                metrics[-1],
                *outputs,
                AlignmentTestOptions(fractions=(0.1, 1.0)),
                **given,
            )
    wanted = {
        name: {
            "claim": text,
            "room": "alignment",
            "treatment": "scl",
            "metric": metric,
            "baseline": baseline,
            "bar": bar,
        }
        for name, (text, metric, baseline, bar) in CLAIMS.items()
        if baseline in (0.0, *runs)
    }
    claims(
        metrics,
        out / "metrics.csv",
        out / "claims.csv",
        out / "claims.json",
        ClaimsOptions.model_validate({"claims": wanted}),
    )
    return out / "claims.csv"


def told(path: Path) -> str:
    """Say what one seed of a run has reached, with its baselines."""
    found = json.loads(path.read_bytes())
    line = f"{path.parent.parent.name} {path.parent.name}: {_four(found)}"
    return line + "".join(f"; {name} {_four(found[name])}" for name in ("untrained", "clock", "pixels"))


def _four(found: dict) -> str:
    phases = found["classification"]
    values = (found["tau"]["test"], phases["10"]["test"], phases["100"]["test"], found["retrieval"]["5"])
    return " ".join(f"{value:.2f}" for value in values)


def main() -> None:
    """Run the study and print what it found."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--out", type=Path, required=True, help="folder for everything that is written")
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    given = words.parse_args()
    table = study(given.out, given.seeds, given.runs)
    print("tau, phases from 10 % and 100 % of the labels, AP@5")
    for path in sorted((given.out / "alignment").rglob("metrics.json")):
        print(told(path))
    print(table.read_text())


if __name__ == "__main__":
    main()
