# What is done in this clip? One training and one test for each run and seed.


use rule train as recognition_train with:
    input:
        frames=flow.runs.shards("recognition"),
        videos=flow.runs.table("recognition", "videos"),
        segments=flow.runs.table("recognition", "segments"),
        classes=flow.runs.classes("recognition"),
    pathvars:
        room="recognition",
    threads: flow.runs.threads("recognition")
    params:
        stage="recognition-train",
        code=flow.code("kinoflow.tasks.recognition.train:recognition_train"),
        options=flow.runs.options("recognition", "test", "test_on"),
        data=flow.runs.data("recognition"),
        start=flow.runs.start("recognition"),
        weights=flow.runs.start_flag("recognition"),
        root=flow.runs.root("recognition"),


rule recognition_evaluate:
    input:
        models=f"results/{flow.study}/recognition/{{run}}/seed-{{seed}}/model.safetensors",
        frames=flow.runs.shards("recognition"),
        videos=flow.runs.table("recognition", "videos"),
        segments=flow.runs.table("recognition", "segments"),
    output:
        metrics=f"results/{flow.study}/recognition/{{run}}/seed-{{seed}}/metrics{{test}}.json",
        predictions=f"results/{flow.study}/recognition/{{run}}/seed-{{seed}}/predictions{{test}}.csv",
        confusion=f"results/{flow.study}/recognition/{{run}}/seed-{{seed}}/confusion{{test}}.csv",
        scores=f"results/{flow.study}/recognition/{{run}}/seed-{{seed}}/scores{{test}}.h5",
    log:
        f"logs/recognition/{flow.study}/{{run}}/seed-{{seed}}-test{{test}}.log",
    benchmark:
        f"logs/usage/{flow.study}/recognition_evaluate/{{run}}/{{seed}}{{test}}.jsonl"
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.tasks.recognition.evaluate:recognition_evaluate"),
        options=flow.runs.test("recognition"),
        splits=flow.runs.splits("recognition"),
        published=flow.runs.published("recognition"),
        files=runs.flags,
        root=flow.runs.root("recognition"),
    shell:
        "python -m kinoflow recognition-evaluate {params.files} {params.root} --splits {params.splits} {params.published}"
        " --metrics {output.metrics} --predictions {output.predictions} --confusion {output.confusion}"
        " --scores {output.scores} --options {params.options:q} --log {log}"


rule recognition_fuse:
    input:
        tests=flow.runs.fused_clips,
    output:
        metrics=f"results/{flow.study}/clip_fusions/{{run}}/seed-{{seed}}/metrics.json",
        predictions=f"results/{flow.study}/clip_fusions/{{run}}/seed-{{seed}}/predictions.csv",
        confusion=f"results/{flow.study}/clip_fusions/{{run}}/seed-{{seed}}/confusion.csv",
    log:
        f"logs/clip_fusions/{flow.study}/{{run}}/seed-{{seed}}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.recognition.fuse:recognition_fuse"),
        options=flow.runs.options("clip_fusions", "runs", "test"),
        published=flow.runs.published("clip_fusions"),
        files=runs.flags,
    shell:
        "python -m kinoflow recognition-fuse {params.files} {params.published} --metrics {output.metrics}"
        " --predictions {output.predictions} --confusion {output.confusion} --options {params.options:q} --log {log}"


rule recognition_section:
    input:
        metrics=flow.sections.files("recognition", "metrics.json"),
        histories=flow.sections.files("recognition", "history.csv"),
        predictions=flow.sections.files("recognition", "predictions.csv"),
        confusion=flow.sections.files("recognition", "confusion.csv"),
        models=flow.sections.models("recognition"),
        fusions=flow.sections.files("clip_fusions", "metrics.json"),
        videos=flow.sections.table("recognition", "videos"),
        segments=flow.sections.table("recognition", "segments"),
        frames=flow.sections.pictures("recognition"),
    output:
        f"results/{flow.study}/sections/30-recognition-{{name}}.json",
    log:
        f"logs/report/{flow.study}/recognition-{{name}}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.recognition.figures:recognition_section"),
        options=flow.sections.tests("recognition"),
        files=runs.flags,
    shell:
        "python -m kinoflow recognition-section {params.files} --section {output} --options {params.options:q} --log {log}"


rule recognition_speed:
    input:
        models=flow.sections.models("recognition"),
    output:
        f"logs/timings/{flow.study}/recognition-{{name}}.json",
    log:
        f"logs/report/{flow.study}/recognition-speed-{{name}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 8  # all cores of most workstations: what measures time wants to be alone
    resources:
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.tasks.recognition.speed:recognition_speed"),
        files=runs.flags,
    shell:
        "python -m kinoflow recognition-speed {params.files} --section {output} --log {log}"
