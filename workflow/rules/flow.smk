# How far each point of a frame moves to the next: one pass over the stored frames, or over published pictures of it.


rule optical_flow:
    input:
        frames=flow.shards.frames_of_flow,
    output:
        update("data/{dataset}/flow/{flow}/{shard}.h5"),
    log:
        "logs/flow/{dataset}/{flow}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/flow/{flow}-{shard}.jsonl"
    wildcard_constraints:
        flow=flow.shards.flow_hashes(published=False),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(3000),
        runtime=needs.minutes(240),
    params:
        code=flow.code("kinoflow.media.flow:flow"),
        options=flow.shards.options("flow"),
    shell:
        "python -m kinoflow flow --frames {input.frames} --shard {output}"
        " --options {params.options:q} --code {params.code} --log {log}"


rule picture_flow:
    input:
        table="data/{dataset}/probe/{shard}.csv",
    output:
        update("data/{dataset}/flow/{flow}/{shard}.h5"),
    log:
        "logs/flow/{dataset}/{flow}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/flow/{flow}-{shard}.jsonl"
    wildcard_constraints:
        flow=flow.shards.flow_hashes(published=True),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(3000),
        runtime=needs.minutes(240),
    params:
        code=flow.code("kinoflow.media.picture_flow:picture_flow"),
        options=flow.shards.options("flow"),
        root=flow.datasets.root,
    shell:
        "python -m kinoflow picture-flow --root {params.root:q} --table {input.table} --shard {output}"
        " --options {params.options:q} --code {params.code} --log {log}"
