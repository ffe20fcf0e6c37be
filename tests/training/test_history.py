"""The history's table holds every row; which validation was best is decided by its first number."""

from kinoflow.training.history import History


def test_rows_are_a_table_with_a_column_for_each_number(tmp_path):
    history = History([{"step": 1, "train/loss": 0.1}, {"step": 2, "train/loss": 1 / 3, "validation/top1": 0.5}])
    history.write_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "step,train/loss,validation/top1\n1,0.1,\n2,0.3333333333333333,0.5\n"


def test_the_first_number_decides_and_only_a_higher_one_is_better():
    history = History()
    found = [history.validated(s, {"a": v, "b": -v}) for s, v in enumerate([float("nan"), 0.2, 0.2, 0.1, 0.3])]
    assert found == [False, True, False, False, True] and history.best == {"step": 4, "name": "a", "value": 0.3}
