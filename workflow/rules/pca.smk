# Partial sums of each shard, merged in the order of shards; then each shard is projected.
# What `cache` keeps between projects (docs/cluster.md) is found by params and not by wildcards: so `place` repeats them.


rule pca_partial:
    input:
        flow.datasets.annotated,
        features="data/{dataset}/features/{features}/{shard}.h5",
    output:
        "data/{dataset}/features/{features}/pca/{pca}/partial/{shard}.h5",
    log:
        "logs/pca/{dataset}/{features}-{pca}/partial-{shard}.log",
    cache: flow.cached
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(60),
    params:
        place="{dataset}/{features}/{pca}/{shard}",
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
    cache: flow.cached
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(60),
    params:
        place="{dataset}/{features}/{pca}",
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
    cache: flow.cached
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(60),
    params:
        place="{dataset}/{features}/{pca}/{shard}",
        code=flow.code("kinoflow.features.pca:pca_apply"),
        options=flow.shards.options("pca"),
        videos=flow.shards.tasks_digest,
        roles=flow.shards.roles_flag,
    shell:
        "python -m kinoflow pca-apply --features {input.features} --basis {input.basis} --shard {output}"
        " {params.roles} --options {params.options:q} --log {log}"
