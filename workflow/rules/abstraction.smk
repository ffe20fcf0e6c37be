# What do these clips have in common? A taxonomy of classes, sets of clips drawn from it, and networks that name them.


rule taxonomy:
    input:
        segments=flow.tables["taxonomies"].index("segments"),
    output:
        taxonomy="data/{table}/taxonomy.json",
        vectors="data/{table}/vectors.safetensors",
        comparison="data/{table}/comparison.json",
    log:
        "logs/sets/{table}/taxonomy.log",
    wildcard_constraints:
        table=flow.tables["taxonomies"].folders(),
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.tasks.abstraction.make_taxonomy:taxonomy"),
        options=flow.tables["taxonomies"].options,
        content=flow.tables["taxonomies"].content("file", "wordnet", "corpus", "word-vectors"),
        user=flow.tables["taxonomies"].user("file", "wordnet", "corpus", "word-vectors"),
        files=runs.flags,
    shell:
        "python -m kinoflow taxonomy {params.files} {params.user} --taxonomy {output.taxonomy} --vectors {output.vectors}"
        " --comparison {output.comparison} --options {params.options:q} --log {log}"


rule abstraction_sets:
    input:
        segments=flow.tables["sets"].index("segments"),
        videos=flow.tables["sets"].index("videos"),
        taxonomy=flow.tables["sets"].taxonomy("taxonomy.json"),
        vectors=flow.tables["sets"].taxonomy("vectors.safetensors"),
    output:
        train="data/{table}/train.json",
        test="data/{table}/test.json",
        rankings="data/{table}/rankings.json",
        odd="data/{table}/odd.json",
    log:
        "logs/sets/{table}/sets.log",
    wildcard_constraints:
        table=flow.tables["sets"].folders(),
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.tasks.abstraction.make_sets:abstraction_sets"),
        options=flow.tables["sets"].options,
        seed=flow.tables["sets"].seed,
        files=runs.flags,
    shell:
        "python -m kinoflow abstraction-sets {params.files} --seed {params.seed} --train {output.train}"
        " --test {output.test} --rankings {output.rankings} --odd {output.odd} --options {params.options:q} --log {log}"


rule abstraction_released:
    input:
        flow.begin,
    output:
        videos="data/{table}/videos.csv",
        segments="data/{table}/segments.csv",
        features="data/{table}/features.h5",
        taxonomy="data/{table}/taxonomy.json",
        vectors="data/{table}/vectors.safetensors",
        train="data/{table}/train.json",
        test="data/{table}/test.json",
        rankings="data/{table}/rankings.json",
    log:
        "logs/sets/{table}/released.log",
    wildcard_constraints:
        table=flow.tables["released"].folders(),
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(32000),
        runtime=needs.minutes(240),
    params:
        code=flow.code("kinoflow.tasks.abstraction.released:abstraction_released"),
        options=flow.tables["released"].options,
        content=flow.tables["released"].release,
        user=flow.tables["released"].user("metadata"),
    shell:
        "python -m kinoflow abstraction-released {params.user} --videos {output.videos} --segments {output.segments}"
        " --features {output.features} --taxonomy {output.taxonomy} --vectors {output.vectors} --train {output.train}"
        " --test {output.test} --rankings {output.rankings} --options {params.options:q} --log {log}"


use rule train as abstraction_train with:
    input:
        sets=flow.runs.table_of("abstraction", "sets", "train.json"),
        taxonomy=flow.runs.taxonomy("abstraction", "taxonomy.json"),
        vectors=flow.runs.taxonomy("abstraction", "vectors.safetensors"),
        segments=flow.runs.table("abstraction", "segments"),
        features=flow.runs.shards("abstraction"),
        validation=flow.runs.table_of("abstraction", "validation_sets", "test.json"),
        weights=flow.runs.extractor("abstraction"),
        basis=flow.runs.basis("abstraction"),
        frames=flow.runs.frames_below("abstraction"),
    pathvars:
        room="abstraction",
    threads: flow.runs.threads("abstraction")
    params:
        stage="abstraction-train",
        code=flow.code("kinoflow.tasks.abstraction.train:abstraction_train"),
        options=flow.runs.options("abstraction", "test"),
        data=flow.runs.data("abstraction"),
        start="",
        weights=flow.runs.extractor_flag("abstraction"),
        root="",


rule abstraction_evaluate:
    input:
        model=f"results/{flow.study}/abstraction/{{run}}/seed-{{seed}}/model.safetensors",
        sets=flow.runs.table_of("abstraction", "sets", "test.json"),
        rankings=flow.runs.table_of("abstraction", "sets", "rankings.json"),
        odd=flow.runs.table_of("abstraction", "sets", "odd.json"),
        segments=flow.runs.table("abstraction", "segments"),
        features=flow.runs.shards("abstraction"),
    output:
        metrics=f"results/{flow.study}/abstraction/{{run}}/seed-{{seed}}/metrics{{test}}.json",
        predictions=f"results/{flow.study}/abstraction/{{run}}/seed-{{seed}}/predictions{{test}}.csv",
        placed=f"results/{flow.study}/abstraction/{{run}}/seed-{{seed}}/placed{{test}}.csv",
    log:
        f"logs/abstraction/{flow.study}/{{run}}/seed-{{seed}}-test{{test}}.log",
    benchmark:
        f"logs/usage/{flow.study}/abstraction_evaluate/{{run}}/{{seed}}{{test}}.jsonl"
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.tasks.abstraction.evaluate:abstraction_evaluate"),
        options=flow.runs.test("abstraction"),
        files=flow.runs.test_flags("abstraction"),
    shell:
        "python -m kinoflow abstraction-evaluate {params.files} --metrics {output.metrics}"
        " --predictions {output.predictions} --placed {output.placed} --options {params.options:q} --log {log}"


rule abstraction_section:
    input:
        metrics=flow.sections.files("abstraction", "metrics.json"),
        predictions=flow.sections.files("abstraction", "predictions.csv"),
        placed=flow.sections.files("abstraction", "placed.csv"),
        models=flow.sections.models("abstraction"),
        sets=flow.sections.table_of("abstraction", "sets", "test.json"),
        segments=flow.sections.table("abstraction", "segments"),
        frames=flow.sections.pictures("abstraction"),
        comparison=flow.sections.taxonomy("abstraction", "comparison.json"),
    output:
        f"results/{flow.study}/sections/70-abstraction-{{name}}.json",
    log:
        f"logs/report/{flow.study}/abstraction-{{name}}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.abstraction.figures:abstraction_section"),
        options=flow.sections.seen("abstraction"),
        files=runs.flags,
    shell:
        "python -m kinoflow abstraction-section {params.files} --section {output} --options {params.options:q} --log {log}"
