"""Measure functions in processes of their own, and compare two of them fairly.

    from measure import Case, compare, measure, table, write_line

    one = Case("streaming", streaming, {"folder": "/tmp/x", "rows": 40000}, before=imports)
    other = Case("sklearn", incremental, {"folder": "/tmp/x", "rows": 40000}, before=imports)
    result = measure(one)                      # a Result: cpu, wall, peak, value, ...
    pair = compare(one, other, repeats=3)      # one, other, one, other, ...: other load of the machine meets both
    print(table([*pair.first, *pair.second]))
    print(pair.sentence())                     # streaming needs 1/17.2 of the CPU time of sklearn (15.9 to 18.0, 3 runs)
    write_line("pca.jsonl", pair.record())     # one JSON line, if a path was given

A case names a top-level function of a file (the benchmark itself, usually), its arguments as JSON values, and the number of
threads that numerical libraries may use. It runs in a fresh interpreter, so nothing is warm that the parent warmed; what it
returns (a JSON value) comes back as ``Result.value``. ``before`` is a function without arguments that runs in the child before
the clock starts: imports and whatever else is not to be counted.

What is counted, from the call of the function to its return:
    cpu     CPU-seconds, user and system, of the process, all its threads and all its children that ended
    wall    seconds
    peak    MB of resident memory above what the process held when the clock started (imports): anonymous memory and pages of
            mapped files alike; the kernel's high-water mark, reset at the start
    peak_child  MB, the largest of its children, as a whole (0 without any)
    cpu_whole   CPU-seconds of the process from birth to end, start-up and imports included, by os.wait4

Functions that must not import the package twice under two names belong into modules; the file's folder and src are on the path.
"""

import importlib.util
import inspect
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))  # a benchmark measures the checkout that it lies in
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Case:
    """A function to measure; ``threads`` is None to leave the libraries' own choice."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    before: Callable[[], Any] | None = None
    threads: int | None = 1


@dataclass(frozen=True)
class Result:
    """What one run took: CPU-seconds, seconds, MB (10^6 bytes), and what the function returned."""

    name: str
    cpu: float
    wall: float
    peak: float
    peak_child: float
    cpu_whole: float
    value: Any


@dataclass(frozen=True)
class Comparison:
    """Interleaved runs of two cases. Ratios are second / first: above one, the first is better."""

    first: list[Result]
    second: list[Result]

    def ratios(self, what: str = "cpu") -> list[float]:
        """Return second / first of each pair of runs, for ``cpu``, ``wall``, ``peak`` or ``cpu_whole``."""
        return [getattr(b, what) / getattr(a, what) for a, b in zip(self.first, self.second, strict=True)]

    def ratio(self, what: str = "cpu") -> float:
        """Return the median of the ratios."""
        return statistics.median(self.ratios(what))

    def sentence(self) -> str:
        """Say the comparison of CPU time."""
        low, high = min(self.ratios()), max(self.ratios())
        first, second = self.first[0].name, self.second[0].name
        return f"{first} needs 1/{self.ratio():.1f} of the CPU time of {second} ({low:.1f} to {high:.1f}, {len(self.first)} runs)"

    def record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        runs = {"first": [asdict(r) for r in self.first], "second": [asdict(r) for r in self.second]}
        return runs | {"ratio": {what: self.ratio(what) for what in ("cpu", "wall", "peak", "cpu_whole")}}


def measure(case: Case) -> Result:
    """Run a case once in a fresh interpreter; RuntimeError if it fails (its stderr is shown as it comes)."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if case.threads is not None:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(case.threads))
    with tempfile.TemporaryDirectory() as folder:
        order, answer = Path(folder, "order.json"), Path(folder, "answer.json")
        order.write_text(
            json.dumps({"function": _place(case.function), "before": _place(case.before), "arguments": case.arguments})
        )
        child = subprocess.Popen([sys.executable, __file__, str(order), str(answer)], env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait for it again
        if child.returncode:
            raise RuntimeError(f"{case.name}: the measured process ended with status {child.returncode}")
        return Result(name=case.name, cpu_whole=usage.ru_utime + usage.ru_stime, **json.loads(answer.read_text()))


def compare(first: Case, second: Case, repeats: int = 3) -> Comparison:
    """Run two cases in turn, ``repeats`` times each."""
    runs = [(measure(first), measure(second)) for _ in range(repeats)]
    return Comparison([a for a, _ in runs], [b for _, b in runs])


def table(results: list[Result]) -> str:
    """Return the results as a table: one line per case, medians of its runs."""
    lines = [f"{'case':<44} {'runs':>4} {'CPU s':>8} {'wall s':>8} {'peak MB':>8} {'whole CPU s':>12}"]
    for name in dict.fromkeys(result.name for result in results):
        runs = [result for result in results if result.name == name]
        cpu, wall, peak, whole = (
            statistics.median(getattr(run, what) for run in runs) for what in ("cpu", "wall", "peak", "cpu_whole")
        )
        lines.append(f"{name:<44} {len(runs):>4} {cpu:>8.2f} {wall:>8.2f} {peak:>8.0f} {whole:>12.2f}")
    return "\n".join(lines)


def write_line(path: str | Path | None, record: dict[str, Any]) -> None:
    """Append one JSON line to a file; nothing without a path."""
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, sort_keys=True) + "\n")


# ---------------------------------------------------------------- the measured process


def _place(function: Callable[..., Any] | None) -> list[str] | None:
    return [str(Path(inspect.getfile(function)).resolve()), function.__qualname__] if function else None


def _function(place: list[str]) -> Callable[..., Any]:
    file, name = Path(place[0]), place[1]
    sys.path.insert(0, str(file.parent))
    if file.stem not in sys.modules:
        specification = importlib.util.spec_from_file_location(file.stem, file)
        assert specification and specification.loader, f"{file} is no Python file"
        sys.modules[file.stem] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[file.stem])
    return getattr(sys.modules[file.stem], name)


def _memory(key: str) -> float:
    """Return VmRSS (resident now) or VmHWM (its high-water mark), MB."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found, f"this kernel does not tell {key}"
    return int(found[1]) * 1024 / 1e6


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _child(order: str, answer: str) -> None:
    asked = json.loads(Path(order).read_text())
    if asked["before"]:
        _function(asked["before"])()
    function = _function(asked["function"])
    held = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    cpu, wall = _cpu(), time.perf_counter()
    value = function(**asked["arguments"])
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    peak = _memory("VmHWM") - held
    peak_child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    found = {"cpu": cpu, "wall": wall, "peak": peak, "peak_child": peak_child, "value": value}
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2])
