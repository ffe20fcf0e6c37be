# Ways to the same shards: from stored frames or straight from videos, by a network as it is published or as a run has trained
# it; and from feature files that somebody else made.


rule features:
    input:
        frames=flow.shards.frames_shard,
        weights=flow.shards.run_weights,
    output:
        update("data/{dataset}/features/{features}/{shard}.h5"),
    log:
        "logs/features/{dataset}/{features}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/features/{features}-{shard}.jsonl"
    wildcard_constraints:
        features=flow.shards.hashes("features", "frames"),
    conda:
        "../../envs/torch.yaml"
    threads: flow.shards.threads
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(240),
    params:
        stage="features",
        code=flow.code("kinoflow.features.extract:features"),
        options=flow.shards.options("features"),
        identity=flow.shards.weights_identity,
        weights=flow.shards.weights_flag,
        speed=flow.shards.speed,
    shell:
        "python -m kinoflow {params.stage} --frames {input.frames} --shard {output} {params.weights} {params.speed}"
        " --options {params.options:q} --code {params.code} --log {log}"


rule features_of_videos:
    input:
        table="data/{dataset}/probe/{shard}.csv",
        weights=flow.shards.run_weights,
    output:
        update("data/{dataset}/features/{features}/{shard}.h5"),
    log:
        "logs/features/{dataset}/{features}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/features/{features}-{shard}.jsonl"
    wildcard_constraints:
        features=flow.shards.hashes("features", "video"),
    conda:
        "../../envs/torch.yaml"
    threads: flow.shards.threads
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(240),
    params:
        stage="features",
        code=flow.code("kinoflow.features.extract:features"),
        options=flow.shards.options("features"),
        identity=flow.shards.weights_identity,
        weights=flow.shards.weights_flag,
        speed=flow.shards.speed,
        root=flow.datasets.root,
    shell:
        "python -m kinoflow {params.stage} --root {params.root:q} --table {input.table} --shard {output}"
        " {params.weights} {params.speed} --options {params.options:q} --code {params.code} --log {log}"


use rule features as features_trained with:
    wildcard_constraints:
        features=flow.shards.hashes("features", "frames", trained="recognition"),
    params:
        stage="recognition-features",
        code=flow.code("kinoflow.tasks.recognition.extract:recognition_features"),
        options=flow.shards.options("features"),
        identity=flow.shards.weights_identity,
        weights=flow.shards.weights_flag,
        speed=flow.shards.speed,


use rule features_of_videos as features_of_videos_trained with:
    wildcard_constraints:
        features=flow.shards.hashes("features", "video", trained="recognition"),
    params:
        stage="recognition-features",
        code=flow.code("kinoflow.tasks.recognition.extract:recognition_features"),
        options=flow.shards.options("features"),
        identity=flow.shards.weights_identity,
        weights=flow.shards.weights_flag,
        speed=flow.shards.speed,
        root=flow.datasets.root,


use rule features as features_aligned with:
    wildcard_constraints:
        features=flow.shards.hashes("features", "frames", trained="alignment"),
    params:
        stage="alignment-features",
        code=flow.code("kinoflow.tasks.alignment.extract:alignment_features"),
        options=flow.shards.options("features"),
        identity=flow.shards.weights_identity,
        weights=flow.shards.weights_flag,
        speed=flow.shards.speed,


use rule features_of_videos as features_of_videos_aligned with:
    wildcard_constraints:
        features=flow.shards.hashes("features", "video", trained="alignment"),
    params:
        stage="alignment-features",
        code=flow.code("kinoflow.tasks.alignment.extract:alignment_features"),
        options=flow.shards.options("features"),
        identity=flow.shards.weights_identity,
        weights=flow.shards.weights_flag,
        speed=flow.shards.speed,
        root=flow.datasets.root,


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
        features=flow.shards.hashes("features", "files"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(3000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.features.outside:feature_files"),
        options=flow.datasets.options("files"),
        root=flow.datasets.root,
    shell:
        "python -m kinoflow feature-files --root {params.root:q} --table {input.table} --shard {output}"
        " --options {params.options:q} --code {params.code} --log {log}"
