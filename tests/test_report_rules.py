"""What the report is told of the study: the same text wherever the user's files lie."""

import pytest
from tests.test_study import study

from kinoflow.layout import Layout
from kinoflow.report_rules import ReportRules
from kinoflow.run_sections import RunSections
from kinoflow.runs import Runs


def told(root: str) -> str:
    """The text for a study whose every file of the user lies below a folder."""
    found = study(
        datasets={"other": {"source": {"path": f"{root}/videos"}, "index": {"labels": f"{root}/labels.csv"}}},
        segmentation={
            "steps": {"steps": f"{root}/steps.csv", "narration": f"{root}/said.csv", "outside": f"{root}/others"}
        },
        alignment={"same": {"weights": None, "network": {"weights": f"{root}/byol.pth"}}},
        actions={"epic": {"kind": "epic55", "path": f"{root}/epic"}},
        corpora={"own": {"path": f"{root}/recipes.jsonl"}},
        teachers={
            "next": {"language": None, "encoder": {"model": "bert", "tokens": "words", "weights": f"{root}/bert"}}
        },
        anticipation={"outside": {"actions": "epic", "folder": f"{root}/features", "losses": {"cls_action": 1}}},
        taxonomies={"tree": {"source": "file", "file": f"{root}/tree.txt", "word_vectors": f"{root}/wiki.vec"}},
    )
    layout = Layout(found, {f"{root}/byol.pth": "12ab"})
    return ReportRules(layout, None, RunSections(layout, Runs(layout))).config_text(None)


@pytest.mark.parametrize("root", ["/somewhere", "/else/where"])
def test_no_path_of_the_machine_stands_in_the_report_s_config(root):
    text = told(root)
    assert root not in text and "file with sha256 12ab" in text
    assert '"tree.txt"' in text and '"recipes.jsonl"' in text
    assert text == told("/a/third/place/with/another/name")
