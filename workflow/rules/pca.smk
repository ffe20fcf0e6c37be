# Partial sums of each shard, merged in the order of shards; then each shard is projected.


rule pca_partial:
    input:
        flow.datasets.annotated,
        features="data/{dataset}/features/{features}/{shard}.h5",
    output:
        "data/{dataset}/features/{features}/pca/{pca}/partial/{shard}.h5",
    log:
        "logs/pca/{dataset}/{features}-{pca}/partial-{shard}.log",
    benchmark:
        "logs/usage/{dataset}/pca_partial/{features}-{pca}-{shard}.jsonl"
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.features.pca:pca_partial"),
        options=flow.shards.options("pca"),
        videos=flow.shards.roles_digest,  # splits and tasks of this shard's videos: a label edited elsewhere changes nothing here
        roles=flow.shards.roles_flag,
    shell:
        "python -m kinoflow pca-partial --features {input.features} --partial {output} {params.roles}"
        " --options {params.options:q} --log {log}"


rule pca_fit:
    input:
        flow.shards.partials,
    output:
        "data/{dataset}/features/{features}/pca/{pca}/basis.safetensors",
    log:
        "logs/pca/{dataset}/{features}-{pca}/fit.log",
    benchmark:
        "logs/usage/{dataset}/pca_fit/{features}-{pca}.jsonl"
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.features.pca:pca_fit"),
        options=flow.shards.options("pca"),
    shell:
        "python -m kinoflow pca-fit --partials {input} --basis {output} --options {params.options:q} --log {log}"


rule pca_apply:
    input:
        features="data/{dataset}/features/{features}/{shard}.h5",
        basis="data/{dataset}/features/{features}/pca/{pca}/basis.safetensors",
    output:
        "data/{dataset}/features/{features}/pca/{pca}/{shard}.h5",
    log:
        "logs/pca/{dataset}/{features}-{pca}/apply-{shard}.log",
    benchmark:
        "logs/usage/{dataset}/pca_apply/{features}-{pca}-{shard}.jsonl"
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.features.pca:pca_apply"),
        options=flow.shards.options("pca"),
        videos=flow.shards.tasks_digest,
        roles=flow.shards.roles_flag,
    shell:
        "python -m kinoflow pca-apply --features {input.features} --basis {input.basis} --shard {output}"
        " {params.roles} --options {params.options:q} --log {log}"
