"""The section on a PCA, from a real basis file."""

import json

import numpy as np
import pytest

from kinoflow.errors import DataError
from kinoflow.features.covariance import principal, summed
from kinoflow.features.figures import components_for, pca_section
from kinoflow.features.options import PcaOptions
from kinoflow.features.pca_files import Group, PcaBasis, write_basis
from kinoflow.options import resolved
from kinoflow.report import section
from kinoflow.report.options import ReportOptions
from kinoflow.report.section import Figure, Table


def basis_file(path, groups: dict[Group, tuple[int, int]], **options):
    """Write a basis of given (components, columns) for each group; column i has a standard deviation of 2^-i."""
    found = {}
    for number, (group, (count, width)) in enumerate(groups.items()):
        rows = np.random.default_rng(number).normal(size=(400, width)) * 2.0 ** -np.arange(width)
        found[group] = principal(summed([rows.astype(np.float32)]), count)
    write_basis(path, PcaBasis(8, {"": (0, 8)}, found, json.loads(resolved(PcaOptions(**options)))))
    return path


def made(tmp_path, groups, options=None, **pca) -> section.Section:
    basis = basis_file(tmp_path / "basis.safetensors", groups, **pca)
    pca_section(basis, tmp_path / "s.json", "small", options or ReportOptions())
    return section.read(tmp_path / "s.json")


def of_kind(found, kind):
    return next(block for block in found.blocks if isinstance(block, kind))


@pytest.mark.parametrize(("share", "count"), [(0.5, 1), (0.75, 2), (0.7500001, 3), (0.875, 3), (0.9, None), (0.1, 1)])
def test_components_for_a_share_are_the_fewest_that_reach_it(share, count):
    assert components_for(np.array([0.5, 0.25, 0.125]), share) == count


def test_the_table_tells_rows_columns_and_components_for_each_share(tmp_path):
    found = made(tmp_path, {Group("", ""): (3, 8)}, ReportOptions(variance_shares=(0.99, 0.7)))
    table = of_kind(found, Table)
    assert [column.name for column in table.columns][-2:] == ["for 70%", "for 99%"]
    rows, columns, kept, variance, few, many = table.rows[0]
    assert (rows, columns, kept, few, many) == (400, 8, 3, 1, "> 3")
    assert 0.97 < variance < 0.99  # 1 - 1/64 for endless rows
    assert found.title == "PCA: small" and found.order == 20
    assert "3 of 8 dimensions keep 98" in found.summary


def test_groups_have_a_row_and_a_line_each(tmp_path):
    groups = {Group("", name): (2, 4) for name in ("audio", "<b>", "i3d")}
    found = made(tmp_path, groups)
    assert [row[0] for row in of_kind(found, Table).rows] == ["audio", "<b>", "i3d"]
    assert all(f">{name}</text>" in of_kind(found, Figure).svg for name in ("audio", "&lt;b&gt;", "i3d"))


def test_many_groups_stay_small(tmp_path):
    found = made(tmp_path, {Group(f"task {i}", ""): (1, 2) for i in range(120)})
    assert len(of_kind(found, Table).rows) == 100
    assert of_kind(found, Table).notes == ("The first 100 of 120 groups.",)
    assert (tmp_path / "s.json").stat().st_size < 400_000


def test_what_was_done_before_and_after_the_fit_is_said(tmp_path):
    said = made(tmp_path, {Group("", ""): (2, 3)}, whiten=True, standardise=True, fit_on="all").blocks[0].text
    assert "all videos" in said and "standard deviation" in said and "unit variance" in said


def test_features_that_never_change_have_no_variance_to_explain(tmp_path):
    basis = principal(summed([np.ones((9, 4), np.float32)]), 2)
    write_basis(
        tmp_path / "b.safetensors",
        PcaBasis(4, {"": (0, 4)}, {Group("", ""): basis}, json.loads(resolved(PcaOptions()))),
    )
    pca_section(tmp_path / "b.safetensors", tmp_path / "s.json", "flat", ReportOptions())
    assert of_kind(section.read(tmp_path / "s.json"), Table).rows[0][-1] == "> 2"


def test_the_same_basis_gives_the_same_bytes(tmp_path):
    basis = basis_file(tmp_path / "basis.safetensors", {Group("", ""): (3, 8)})
    for name in ("a.json", "b.json"):
        pca_section(basis, tmp_path / name, "small", ReportOptions())
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_file_that_is_no_basis_names_itself(tmp_path):
    (tmp_path / "basis.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match=r"basis\.safetensors"):
        pca_section(tmp_path / "basis.safetensors", tmp_path / "s.json", "x", ReportOptions())
