"""The stage that lets a teacher tell every segment's next action, beside guesses without a network."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kinoflow.datasets.actions import Classes, Rows, read_classes, read_rows
from kinoflow.errors import ConfigError, DataError
from kinoflow.options import check
from kinoflow.progress import log
from kinoflow.stage import In, Out
from kinoflow.store.files import write_json
from kinoflow.tasks.anticipation.histories import Histories, histories
from kinoflow.tasks.anticipation.ngram import Ngram, majority
from kinoflow.tasks.anticipation.outcome import outcome
from kinoflow.tasks.anticipation.records import Records, write_records
from kinoflow.tasks.anticipation.text_options import RecordsOptions, TeacherOptions
from kinoflow.tasks.anticipation.tokens import read_lines

if TYPE_CHECKING:
    from kinoflow.tasks.anticipation.teacher import Trained


def teacher_records(
    model: In,
    actions: In,
    classes: In,
    records: Out,
    metrics: Out,
    options: RecordsOptions,
    corpus: In | None = None,
    splits: list[str] | None = None,
    device: str = "auto",
) -> None:
    """Write what a teacher says of every segment of a dataset, and how right it is, beside n-grams and the majority.

    model: the checkpoint of `kinoflow teacher-train`
    actions: the table of segments that it was trained on
    classes: the table of classes
    records: the records to write, HDF5: uid, logits, features, history, target
    metrics: the measures to write, JSON: policy, teacher, ngram, majority; with a corpus ngram_text
    corpus: sequences of actions, for n-grams that learn from them too
    splits: the splits that are measured; all but those trained on, if not given
    device: cpu, cuda, or auto: CUDA where there is some
    """
    from kinoflow.tasks.anticipation.teacher import read_teacher
    from kinoflow.training.devices import arithmetic, device_of

    table = read_classes(classes)
    trained = read_teacher(model)
    if trained.classes.key != table.key:
        raise DataError(
            f"{model}: this teacher knows the {len(trained.classes.names)} classes of {trained.classes.dataset}, and the actions"
            f" are of {table.dataset}; give the actions that it was trained on"
        )
    rows = read_rows(actions, table)
    asked = check(TeacherOptions, trained.options, str(model))
    made = histories(rows, table.rate, **asked.history.model_dump())
    past = made.of(rows.action)
    chosen = device_of(device)
    trained.model.to(chosen)
    with arithmetic(chosen, threads=1):
        scores, features = trained.scores(trained.lines(past), options.batch)
    about = {
        "gap": asked.history.gap,
        "last": asked.history.last or 0,
        "within": asked.history.within,
        "teacher": options.name,
    }
    write_records(
        records,
        Records(
            rows.uid.tolist(),
            table.names,
            scores["action"],
            features,
            past,
            made.lengths,
            rows.action,
            table.dataset,
            asked.history.policy,
            about,
        ),
    )
    measured = _measured(rows, asked, splits)
    found = {
        "policy": asked.history.policy,
        "gap": asked.history.gap,
        "last": asked.history.last,
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "no_history": int((made.lengths[measured] == 0).sum()),
        "cut_histories": _cut(trained, past[measured]),
        "new_actions": int((~np.isin(rows.action[measured], rows.action[_learnt(rows, asked)])).sum()),
        "teacher": _outcome(scores, rows, table, measured, made),
        **baselines(rows, made, table, asked, measured, options, read_lines(corpus) if corpus else []),
    }
    write_json(metrics, found)
    _say(found)


def _measured(rows: Rows, asked: TeacherOptions, splits: list[str] | None) -> np.ndarray:
    """Return the rows that are measured, (N,) bool; ConfigError for a split that has none."""
    there = sorted(set(rows.split))
    wanted = splits or [split for split in there if split not in asked.train_on] or there
    lost = [split for split in wanted if split not in there]
    if lost:
        raise ConfigError(f"splits: no segment is in the split {lost[0]!r} (splits there: {', '.join(there)})")
    return np.isin(rows.split.astype(str), wanted)


def _learnt(rows: Rows, asked: TeacherOptions) -> np.ndarray:
    """Return the rows that the teacher has learnt from, (N,) bool."""
    return np.isin(rows.split.astype(str), asked.train_on) & ~np.isin(rows.recording.astype(str), asked.hold_out)


def _cut(trained: "Trained", past: np.ndarray) -> int:
    """Count the histories (N, H) of which the model cannot take all tokens: their earliest actions are cut off."""
    names, most = trained.classes.texts, trained.model.encoder.length
    return sum(len(trained.tokens.line([names[i] for i in row if i >= 0])) > most for row in past.tolist())


def _outcome(
    scores: dict[str, np.ndarray], rows: Rows, table: Classes, measured: np.ndarray, made: Histories
) -> dict[str, Any]:
    """Return the measures of all rows, and of those that have a history."""
    found = outcome({head: each[measured] for head, each in scores.items()}, rows.take(measured), table)
    known = measured & (made.lengths > 0)
    if known.any():
        found["with_history"] = outcome({head: each[known] for head, each in scores.items()}, rows.take(known), table)
    return found


def baselines(
    rows: Rows,
    made: Histories,
    table: Classes,
    asked: TeacherOptions,
    measured: np.ndarray,
    options: RecordsOptions,
    lines: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """Return the measures of n-grams and of the majority, learnt from the rows that the teacher has learnt from.

    lines: sequences of action texts; with some, ``ngram_text`` has learnt from those of known actions, too.
    """
    train = _learnt(rows, asked)
    past, count = made.of(rows.action), len(table.names)
    model = Ngram(count, options.orders, options.prior).add(past[train], rows.action[train])
    known = measured & (made.lengths > 0)
    grams = model.scores(past)
    shares = np.broadcast_to(majority(rows.action[train], count), (len(rows), count))
    more: dict[str, Any] = {}
    if lines:
        number = {text: i for i, text in enumerate(table.texts)}
        sequences = [np.array([number[text] for text in line if text in number], np.int64) for line in lines]
        told = model.add_sequences(sequences).scores(past)
        more = {"ngram_text": _outcome({"action": told}, rows, table, measured, made)}
    return {
        **more,
        "ngram": _outcome({"action": grams}, rows, table, measured, made),
        "majority": outcome(
            {"action": np.log(shares[measured] + np.finfo(np.float64).tiny)}, rows.take(measured), table
        ),
        "rows_with_history": int(known.sum()),
    }


def _say(found: dict[str, Any]) -> None:
    counts = (found["teacher"]["rows"], found["no_history"], found["new_actions"], found["cut_histories"])
    log.info("%d actions: %d without history, %d new since the training, %d histories cut to fit the model", *counts)
    for name in ("teacher", "ngram_text", "ngram", "majority"):
        if name not in found:
            continue
        action = found[name]["action"]
        log.info(
            "%-8s (%s): top-1 %.1f %%, top-5 %.1f %%",
            name,
            found["policy"],
            100 * action["top1"],
            100 * action.get("top5", 1),
        )
