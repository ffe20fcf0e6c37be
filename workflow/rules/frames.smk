# From videos, or from folders of pictures, to frames of model size.


rule frames:
    input:
        table="data/{dataset}/probe/{shard}.csv",
    output:
        update("data/{dataset}/frames/{frames}/{shard}.h5"),
    log:
        "logs/frames/{dataset}/{frames}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/frames/{frames}-{shard}.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(content="videos"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(3000),
        runtime=needs.minutes(240),
    params:
        code=flow.code("kinoflow.media.frames:frames"),
        options=flow.shards.options("frames"),
        root=flow.datasets.root,
    shell:
        "python -m kinoflow frames --root {params.root:q} --table {input.table} --shard {output}"
        " --options {params.options:q} --code {params.code} --log {log}"


rule picture_frames:
    input:
        table="data/{dataset}/probe/{shard}.csv",
    output:
        update("data/{dataset}/frames/{frames}/{shard}.h5"),
    log:
        "logs/frames/{dataset}/{frames}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/frames/{frames}-{shard}.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(content="pictures"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(3000),
        runtime=needs.minutes(240),
    params:
        code=flow.code("kinoflow.media.picture_frames:picture_frames"),
        options=flow.shards.options("frames"),
        root=flow.datasets.root,
    shell:
        "python -m kinoflow picture-frames --root {params.root:q} --table {input.table} --shard {output}"
        " --options {params.options:q} --code {params.code} --log {log}"
