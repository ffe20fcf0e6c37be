"""PCA: the stages against scikit-learn's IncrementalPCA, their exactness, and their memory.

    python benchmarks/pca.py                    five to ten minutes; --repeats 1 for three; --json FILE adds a line

Both sides read the same feature shards (float16, four shards, 250 rows a video) on one thread. The stages are measured as the
workflow runs them: pca_partial of every shard, written to disk, then pca_fit. The eigenvalues are compared with those of the
covariance in float64, computed at once.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import Case, compare, measure, table, write_line

K, SHARDS, VIDEO = 200, 4, 250
OPTIONS = {"components": K, "fit_on": "all"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of interleaved runs")
    parser.add_argument("--json", metavar="FILE", help="append the numbers as one JSON line")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = speed(Path(folder), given.repeats) | {"memory": memory(Path(folder))}
    write_line(given.json, {"benchmark": "pca"} | record)


def speed(folder: Path, repeats: int) -> dict[str, Any]:
    """Compare CPU time at 40 000 x 1024, and eigenvalues at two feature means."""
    data, exact, errors = {}, {}, {}
    for mean, dtype in ((50, "float32"), (0, "float16")):
        data[mean] = features(folder / f"mean-{mean}", 40000, 1024, mean, dtype)
        exact[mean] = np.array(measure(Case("exact", reference, {"folder": data[mean]})).value)
        found = measure(Case("stages", stages, {"folder": data[mean]}, imports))
        errors[mean] = worst(found.value, exact[mean])
        print(f"feature mean {mean}: worst relative eigenvalue error of {K}: {errors[mean]:.1e}", flush=True)
    arguments = {"folder": data[0]}
    pair = compare(
        Case("stages, 40 000 x 1024 -> 200", stages, arguments, imports),
        Case("sklearn IncrementalPCA, batch 1000", incremental, arguments, imports_of_sklearn),
        repeats,
    )
    commands = measure(Case("stages as 5 commands, start-up included", commands_of, arguments))
    applied = measure(Case("pca_apply of all shards", apply, arguments, imports))
    print(table([*pair.first, *pair.second, commands, applied]))
    print(pair.sentence())
    print(f"IncrementalPCA's worst relative eigenvalue error: {worst(pair.second[0].value, exact[0]):.1e}")
    return pair.record() | {"errors": errors, "commands": commands.cpu, "apply": applied.cpu}


def memory(folder: Path) -> list[dict[str, Any]]:
    """Measure peak memory at two widths and two numbers of rows each."""
    results = []
    for width, counts in ((1024, (20000, 80000)), (3200, (8000, 32000))):
        for rows in counts:
            data = features(folder / f"{width}-{rows}", rows, width, 0, "float16")
            for name, function in (("partial and fit", stages), ("apply", apply)):
                results.append(measure(Case(f"{name}, {rows} x {width}", function, {"folder": data}, imports)))
            for file in Path(data).rglob("*.h5"):
                file.unlink()
    print(table(results), flush=True)
    return [{"case": result.name, "peak": result.peak, "cpu": result.cpu} for result in results]


def worst(values: Any, exact: np.ndarray) -> float:
    return float(np.max(np.abs(np.array(values) - exact) / exact))


# ---------------------------------------------------------------- what is measured


def imports() -> None:
    import safetensors.numpy  # noqa: F401
    import scipy.linalg  # noqa: F401

    import kinoflow.features.pca  # noqa: F401


def imports_of_sklearn() -> None:
    import sklearn.decomposition  # noqa: F401

    import kinoflow.store.shards  # noqa: F401


def stages(folder: str) -> list[float]:
    """Run pca_partial on every shard, then pca_fit; return the variances."""
    from kinoflow.features.options import PcaOptions
    from kinoflow.features.pca import pca_fit, pca_partial
    from kinoflow.features.pca_files import read_basis

    options, place, partials = PcaOptions(**OPTIONS), Path(folder), []
    for shard in sorted(place.glob("*.h5")):
        partials.append(place / "partial" / shard.name)
        pca_partial(shard, partials[-1], options)
    pca_fit(partials, place / "basis.safetensors", options)
    (fitted,) = read_basis(place / "basis.safetensors").groups.values()
    return fitted.variance.tolist()


def apply(folder: str) -> None:
    """Run pca_apply on every shard."""
    from kinoflow.features.options import PcaOptions
    from kinoflow.features.pca import pca_apply

    place = Path(folder)
    for shard in sorted(place.glob("*.h5")):
        pca_apply(shard, place / "basis.safetensors", place / "reduced" / shard.name, PcaOptions(**OPTIONS))


def commands_of(folder: str) -> None:
    """Run the fitting stages as the workflow does, a process each."""
    place, partials = Path(folder), []
    command, options = [sys.executable, "-m", "kinoflow"], ["--options", json.dumps(OPTIONS)]
    for shard in sorted(place.glob("*.h5")):
        partials.append(str(place / "partial" / shard.name))
        words = ["pca-partial", "--features", str(shard), "--partial", partials[-1], *options]
        subprocess.run([*command, *words], check=True, stderr=subprocess.DEVNULL)
    words = ["pca-fit", "--partials", *partials, "--basis", str(place / "basis.safetensors"), *options]
    subprocess.run([*command, *words], check=True, stderr=subprocess.DEVNULL)


def incremental(folder: str) -> list[float]:
    """Fit scikit-learn's IncrementalPCA to the same shards in batches of 1000 rows."""
    from sklearn.decomposition import IncrementalPCA

    from kinoflow.store.shards import Shard

    fitted = IncrementalPCA(K, batch_size=1000)
    for shard in sorted(Path(folder).glob("*.h5")):
        x = Shard(shard).x
        for start in range(0, len(x), 1000):
            fitted.partial_fit(x[start : start + 1000].astype(np.float32))
    return fitted.explained_variance_.tolist()


def reference(folder: str) -> list[float]:
    """Return the largest eigenvalues of the covariance of all rows, computed in float64 at once."""
    from scipy.linalg import eigh

    from kinoflow.store.shards import Shard

    x = np.concatenate([np.asarray(Shard(shard).x, np.float64) for shard in sorted(Path(folder).glob("*.h5"))])
    x -= x.mean(0)
    width = x.shape[1]
    return eigh(x.T @ x / (len(x) - 1), eigvals_only=True, subset_by_index=(width - K, width - 1))[::-1].tolist()


def features(folder: Path, rows: int, width: int, mean: float, dtype: str) -> str:
    """Write feature shards whose k-th direction has a standard deviation of about 30 / sqrt(k + 1)."""
    from kinoflow.store.shards import writing

    rng = np.random.default_rng(0)
    mix = rng.standard_normal((width, width), dtype=np.float32) / np.sqrt(width)  # nearly orthogonal directions
    mix *= (30 / np.sqrt(np.arange(1, width + 1, dtype=np.float32)))[:, None]
    for shard in range(SHARDS):
        with writing(folder / f"{shard:03d}.h5", {}, frames=False) as writer:
            for video in range(rows // SHARDS // VIDEO):
                x = rng.standard_normal((VIDEO, width), dtype=np.float32) @ mix + np.float32(mean)
                writer.add(f"{shard}-{video:05d}.mp4", x.astype(dtype), np.arange(float(VIDEO)))
    return str(folder)


if __name__ == "__main__":
    main()
