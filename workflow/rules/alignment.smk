# Which moment of that video is this one? One training and one test for each run and seed.


use rule train as alignment_train with:
    input:
        frames=flow.runs.frames("alignment"),
        features=flow.runs.features("alignment"),
        videos=flow.runs.table("alignment", "videos"),
        segments=flow.runs.table("alignment", "segments"),
        weights=flow.runs.checkpoint("alignment", "weights"),
        initial=flow.runs.checkpoint("alignment", "initial"),
    pathvars:
        room="alignment",
    threads: flow.runs.threads("alignment")
    params:
        stage="alignment-train",
        code=flow.code("kinoflow.tasks.alignment.train:alignment_train"),
        options=flow.runs.options("alignment", "test", "test_on"),
        data=flow.runs.data("alignment"),
        start=flow.runs.start("alignment"),
        weights=flow.runs.start_flag("alignment"),
        root=flow.runs.root("alignment"),


rule alignment_evaluate:
    input:
        model=f"results/{flow.study}/alignment/{{run}}/seed-{{seed}}/model.safetensors",
        frames=flow.runs.frames("alignment"),
        features=flow.runs.features("alignment"),
        videos=flow.runs.table("alignment", "videos"),
        segments=flow.runs.table("alignment", "segments"),
        weights=flow.runs.checkpoint("alignment", "weights"),
    output:
        metrics=f"results/{flow.study}/alignment/{{run}}/seed-{{seed}}/metrics{{test}}.json",
        predictions=f"results/{flow.study}/alignment/{{run}}/seed-{{seed}}/predictions{{test}}.csv",
        embeddings=f"results/{flow.study}/alignment/{{run}}/seed-{{seed}}/embeddings{{test}}.h5",
        first=f"results/{flow.study}/alignment/{{run}}/seed-{{seed}}/first{{test}}.h5",
    log:
        f"logs/alignment/{flow.study}/{{run}}/seed-{{seed}}-test{{test}}.log",
    benchmark:
        f"logs/usage/{flow.study}/alignment_evaluate/{{run}}/{{seed}}{{test}}.jsonl"
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.tasks.alignment.evaluate:alignment_evaluate"),
        options=flow.runs.test("alignment"),
        splits=flow.runs.splits("alignment"),
        apart=flow.runs.apart("alignment"),
        files=runs.flags,
        start=flow.runs.start("alignment"),
        weights=flow.runs.start_flag("alignment"),
        root=flow.runs.root("alignment"),
    shell:
        "python -m kinoflow alignment-evaluate {params.files} {params.root} {params.weights} {params.apart} --splits {params.splits}"
        " --metrics {output.metrics} --predictions {output.predictions} --embeddings {output.embeddings}"
        " --first {output.first} --options {params.options:q} --code {params.code} --log {log}"


rule alignment_section:
    input:
        metrics=flow.sections.files("alignment", "metrics.json"),
        histories=flow.sections.files("alignment", "history.csv"),
        models=flow.sections.models("alignment"),
        embeddings=flow.sections.files("alignment", "embeddings.h5"),
        videos=flow.sections.table("alignment", "videos"),
        segments=flow.sections.table("alignment", "segments"),
        frames=flow.sections.pictures("alignment"),
    output:
        f"results/{flow.study}/sections/50-alignment-{{name}}.json",
    log:
        f"logs/report/{flow.study}/alignment-{{name}}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.alignment.figures:alignment_section"),
        options=flow.sections.seen("alignment"),
        files=runs.flags,
        splits=flow.sections.splits("alignment"),
    shell:
        "python -m kinoflow alignment-section {params.files} --splits {params.splits} --section {output}"
        " --options {params.options:q} --log {log}"
