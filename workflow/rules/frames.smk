rule frames:
    input:
        table="data/{dataset}/probe/{shard}.csv",
    output:
        update("data/{dataset}/frames/{frames}/{shard}.h5"),
    log:
        "logs/frames/{dataset}/{frames}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/frames/{frames}-{shard}.jsonl"
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.media.frames:frames"),
        options=flow.options("frames"),
        root=flow.root,
    shell:
        "python -m kinoflow frames --root {params.root:q} --table {input.table} --shard {output}"
        " --options {params.options:q} --code {params.code} --log {log}"
