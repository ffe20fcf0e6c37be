# Three ways to the same shards: from stored frames, straight from videos, from feature files that somebody else made.


rule features:
    input:
        frames=flow.frames_shard,
        weights=flow.run_weights,
    output:
        update("data/{dataset}/features/{features}/{shard}.h5"),
    log:
        "logs/features/{dataset}/{features}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/features/{features}-{shard}.jsonl"
    wildcard_constraints:
        features=flow.hashes("features", "frames"),
    conda:
        "../../envs/torch.yaml"
    threads: flow.threads
    resources:
        gpu=flow.gpu,
    params:
        code=flow.code("kinoflow.features.extract:features"),
        options=flow.options("features"),
        identity=flow.weights_identity,
        weights=flow.weights_flag,
        speed=flow.speed,
    shell:
        "python -m kinoflow features --frames {input.frames} --shard {output} {params.weights} {params.speed}"
        " --options {params.options:q} --code {params.code} --log {log}"


rule features_of_videos:
    input:
        table="data/{dataset}/probe/{shard}.csv",
        weights=flow.run_weights,
    output:
        update("data/{dataset}/features/{features}/{shard}.h5"),
    log:
        "logs/features/{dataset}/{features}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/features/{features}-{shard}.jsonl"
    wildcard_constraints:
        features=flow.hashes("features", "video"),
    conda:
        "../../envs/torch.yaml"
    threads: flow.threads
    resources:
        gpu=flow.gpu,
    params:
        code=flow.code("kinoflow.features.extract:features"),
        options=flow.options("features"),
        identity=flow.weights_identity,
        weights=flow.weights_flag,
        speed=flow.speed,
        root=flow.root,
    shell:
        "python -m kinoflow features --root {params.root:q} --table {input.table} --shard {output}"
        " {params.weights} {params.speed} --options {params.options:q} --code {params.code} --log {log}"


rule features_of_files:
    input:
        table="data/{dataset}/probe/{shard}.csv",
    output:
        update("data/{dataset}/features/{features}/{shard}.h5"),
    log:
        "logs/features/{dataset}/{features}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/features/{features}-{shard}.jsonl"
    wildcard_constraints:
        features=flow.hashes("features", "files"),
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.features.outside:feature_files"),
        options=flow.options("files"),
        root=flow.root,
    shell:
        "python -m kinoflow feature-files --root {params.root:q} --table {input.table} --shard {output}"
        " --options {params.options:q} --code {params.code} --log {log}"
