import sys

from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


# The main process imports the live sources; its jobs find the frozen copy first, through PYTHONPATH.
sys.path.insert(0 if workflow.is_main_process else len(sys.path), f"{workflow.basedir}/src")
from kinoflow import needs, runs
from kinoflow.workflow import Flow

flow = Flow(workflow, config)  # reads --configfile, else config.yaml beside this file


onstart:
    flow.freeze()


wildcard_constraints:
    dataset="[a-z0-9_]+-[0-9a-f]{10}",
    shard="[0-9]{3,4}",
    index="[0-9a-f]{10}",
    frames="[0-9a-f]{10}",
    flow="[0-9a-f]{10}",
    features="[0-9a-f]{10}",
    pca="[0-9a-f]{10}",
    name="[A-Za-z0-9_-]+",
    run="[A-Za-z0-9_-]+",
    seed="[0-9]+",
    test="(-[A-Za-z0-9_-]+)?",
    table="[A-Za-z0-9_/-]+",


include: flow.rules("datasets.smk")
include: flow.rules("frames.smk")
include: flow.rules("flow.smk")
include: flow.rules("features.smk")
include: flow.rules("pca.smk")
include: flow.rules("training.smk")
include: flow.rules("recognition.smk")
include: flow.rules("segmentation.smk")
include: flow.rules("alignment.smk")
include: flow.rules("anticipation.smk")
include: flow.rules("abstraction.smk")
include: flow.rules("report.smk")


rule all:
    default_target: True
    input:
        flow.products(),  # so that a lost one is noticed
        flow.runs.results(),
        f"results/{flow.study}/report.html",
