"""Projects that ran once, and copies of them to change."""

import shutil

import pytest
from tests.workflow.project import Project, new_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory, make_video) -> Project:
    """A project after its first run. Do not change it: take ``project``."""
    project = new_project(tmp_path_factory.mktemp("finished") / "project", make_video)
    project.jobs()
    return project


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A copy of a finished project: the same bytes and times somewhere else (a moved folder)."""
    return Project(shutil.copytree(finished.place, tmp_path / "copy", symlinks=True))


@pytest.fixture
def fresh(tmp_path, make_video) -> Project:
    """A project that never ran."""
    return new_project(tmp_path / "fresh", make_video)
