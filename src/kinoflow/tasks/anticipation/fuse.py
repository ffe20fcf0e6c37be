"""The stage that adds the scores of several tests: students of colours, flow and objects as one (late fusion)."""

from collections.abc import Sequence
from pathlib import Path

from kinoflow.datasets.actions import Classes, Rows, read_classes, read_rows
from kinoflow.errors import ConfigError, DataError
from kinoflow.stage import In, Out
from kinoflow.store.files import write_json
from kinoflow.store.tables import write
from kinoflow.tasks.anticipation import data
from kinoflow.tasks.anticipation.challenge import write_challenge
from kinoflow.tasks.anticipation.evaluate import Prediction, measured, prediction_rows
from kinoflow.tasks.anticipation.mistakes import correlated
from kinoflow.tasks.anticipation.options import FusionOptions
from kinoflow.tasks.anticipation.result_store import Scores, added, places, read_scores, same_classes, write_scores


def anticipation_fuse(
    tests: list[In],
    actions: In,
    classes: In,
    metrics: Out,
    predictions: Out,
    scores: Out,
    options: FusionOptions,
    splits: list[str] | None = None,
    challenge: Out | None = None,
) -> None:
    """Add what tests have said of actions, each with its weight, and measure the sums. An action counts that any test has.

    tests: the scores, scores.h5 of each test
    actions: the table of actions
    classes: the table of classes
    metrics: the measures to write, JSON
    predictions: the table of predictions to write: a row for each action
    scores: the sums to write, HDF5
    splits: the splits that were tested on, whose other actions have zeros in a challenge's file; test if not given
    challenge: a file for a challenge's server to write, .json or .zip
    """
    table = read_classes(classes)
    rows = read_rows(actions, table)
    chosen = data.in_splits(rows, splits or ("test",), "splits")
    every = [read_scores(path) for path in tests]
    found = fused(tests, every, rows, table, options)
    of = rows.take(places(rows, found.uids))
    dropped = sorted(set(rows.uid[chosen]) - set(found.uids))
    write(predictions, prediction_rows(of, found.scores["action"], None, table), Prediction)
    write_scores(scores, found)
    if challenge:
        verbs_nouns = found.marginals(table)
        write_challenge(challenge, options.challenge, found.uids, found.scores["action"], table, dropped, verbs_nouns)
    beside = {
        "samples": len(found.uids),
        "dropped": len(dropped),
        "tests": len(tests),
        "everywhere": len(set.intersection(*(set(each.uids) for each in every))),
    }
    told = correlated(found.scores["action"], table.names, options.correlated)
    write_json(metrics, beside | measured(found, of, table) | {"correlated": told})


def fused(paths: Sequence[Path], every: Sequence[Scores], rows: Rows, table: Classes, options: FusionOptions) -> Scores:
    """Return the weighted sums of scores over the union of their actions, in the order of the table.

    Raises ConfigError for more or fewer weights than tests, DataError for tests of other classes, actions or labels.
    """
    if not every:
        raise ConfigError("tests: give at least one file of scores")
    weights = list(options.coefficients) or [1.0] * len(every)
    if len(weights) != len(every):
        raise ConfigError(f"coefficients: there are {len(weights)}, but {len(every)} tests; give one for each")
    true = dict(zip(rows.uid, rows.action.tolist(), strict=True))
    for path, each in zip(paths, every, strict=True):
        same_classes(path, each, table.names)
        for uid, target in zip(each.uids, each.targets.tolist(), strict=True):
            if true.get(uid) != target:
                raise DataError(
                    f"{path}: the table has no action {uid!r} with that label; give the one that was tested on"
                )
    return added(every, rows, table, weights, options.norm)
