"""From a row of scores for every frame to a label that does not flicker: averaging, a threshold, and settling.

Follows the rules of TSM's online demonstration (Lin, Gan, Han, 2019): scores are summed over the last answers; classes that
mean nothing are never told; a change of label is accepted only where the last two labels agree.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from kinoflow.errors import ConfigError
from kinoflow.metrics.scores import softmax
from kinoflow.tasks.recognition.options import StreamOptions


class Settling:
    """Let a sequence of classes change only where the last two that were told agree.

    start: what was told before (None: nothing yet). hidden: classes in whose place the last one is told. alike: {class: the
    one told in its place}. settle: False lets every change through.

    >>> settling = Settling(start=2)
    >>> [settling(each) for each in (5, 7, 5, 5, 7)]
    [5, 5, 5, 5, 7]
    """

    def __init__(
        self,
        start: int | None = None,
        hidden: Collection[int] = (),
        alike: Mapping[int, int] | None = None,
        settle: bool = True,
    ):
        self.hidden, self.alike, self.settle = frozenset(hidden), dict(alike or {}), settle
        self._last, self._before = start, start

    def __call__(self, found: int | None) -> int | None:
        """Return the class told for ``found`` (None: no class was found); None while nothing can be told yet."""
        told = self._last if found is None or found in self.hidden else self.alike.get(found, found)
        if self.settle and self._last is not None and told != self._last != self._before:
            told = self._last
        self._before, self._last = self._last, told
        return told


class Smoother:
    """Turn rows of scores, one by one, into a label and the probabilities of all classes.

    classes: names, in the order of a row. probabilities: whether rows are averaged as probabilities (networks with
    ``softmax_first``) in place of scores, whose mean is then turned into probabilities. Averaging scores chooses the same
    class as summing them, and keeps the probabilities those of a clip.

    Raises ConfigError if an option names a class that is not there.
    """

    def __init__(self, options: StreamOptions, classes: Sequence[str], probabilities: bool = False):
        self.options, self.classes, self.probabilities = options, tuple(classes), probabilities
        self._rows: deque[np.ndarray] = deque(maxlen=options.average)
        start = self._number("start", options.start) if options.start else None
        hidden = [self._number("hidden", name) for name in options.hidden]
        alike = {self._number("alike", a): self._number("alike", b) for a, b in options.alike.items()}
        self._settling = Settling(start, hidden, alike, options.settle)

    def __call__(self, scores: np.ndarray) -> tuple[str, np.ndarray]:
        """Return the label told now ("" if there is none yet), and the probabilities (K,) of the last answers.

        scores: (K,) of the newest frame.
        """
        self._rows.append(softmax(scores) if self.probabilities else np.asarray(scores))
        mean = np.mean(self._rows, axis=0, dtype=np.float64)
        shares = mean if self.probabilities else softmax(mean)
        best = int(shares.argmax())
        told = self._settling(best if shares[best] >= self.options.threshold else None)
        return "" if told is None else self.classes[told], shares

    def _number(self, option_name: str, name: str) -> int:
        if name not in self.classes:
            few = ", ".join(map(repr, self.classes[:5])) + (", ..." if len(self.classes) > 5 else "")
            raise ConfigError(f"{option_name}: {name!r} is none of the model's {len(self.classes)} classes ({few})")
        return self.classes.index(name)
