# Which steps make up a long video? One training and one test for each run and seed.


use rule train as segmentation_train with:
    input:
        features=flow.runs.shards("segmentation"),
        videos=flow.runs.table("segmentation", "videos"),
        segments=flow.runs.table("segmentation", "segments"),
        steps=flow.runs.given("segmentation", "steps"),
        narration=flow.runs.given("segmentation", "narration"),
        frames=flow.runs.frames_below("segmentation"),
        basis=flow.runs.basis("segmentation"),
        weights=flow.runs.extractor("segmentation"),
    pathvars:
        room="segmentation",
    threads: flow.runs.threads("segmentation")
    params:
        stage="segmentation-train",
        code=flow.code("kinoflow.tasks.segmentation.train:segmentation_train"),
        options=flow.runs.options("segmentation", "test", "test_on"),
        data=flow.runs.data("segmentation"),
        start="",
        weights=flow.runs.extractor_flag("segmentation"),
        root="",


rule segmentation_evaluate:
    input:
        model=f"results/{flow.study}/segmentation/{{run}}/seed-{{seed}}/model.safetensors",
        features=flow.runs.shards("segmentation"),
        videos=flow.runs.table("segmentation", "videos"),
        segments=flow.runs.table("segmentation", "segments"),
        steps=flow.runs.given("segmentation", "steps"),
        narration=flow.runs.given("segmentation", "narration"),
    output:
        metrics=f"results/{flow.study}/segmentation/{{run}}/seed-{{seed}}/metrics{{test}}.json",
        predictions=f"results/{flow.study}/segmentation/{{run}}/seed-{{seed}}/predictions{{test}}.csv",
        states=f"results/{flow.study}/segmentation/{{run}}/seed-{{seed}}/states{{test}}.csv",
    log:
        f"logs/segmentation/{flow.study}/{{run}}/seed-{{seed}}-test{{test}}.log",
    benchmark:
        f"logs/usage/{flow.study}/segmentation_evaluate/{{run}}/{{seed}}{{test}}.jsonl"
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.tasks.segmentation.evaluate:segmentation_evaluate"),
        options=flow.runs.test("segmentation"),
        splits=flow.runs.splits("segmentation"),
        content=flow.runs.content("segmentation", "outside"),
        outside=flow.runs.folder("segmentation", "outside", "outside"),
        texts=flow.runs.texts("segmentation"),
        files=runs.flags,
    shell:
        "python -m kinoflow segmentation-evaluate {params.files} {params.outside} {params.texts}"
        " --splits {params.splits} --metrics {output.metrics}"
        " --predictions {output.predictions} --states {output.states} --options {params.options:q} --log {log}"


rule segmentation_section:
    input:
        metrics=flow.sections.files("segmentation", "metrics.json"),
        histories=flow.sections.files("segmentation", "history.csv"),
        predictions=flow.sections.files("segmentation", "predictions.csv"),
        states_tables=flow.sections.files("segmentation", "states.csv"),
        models=flow.sections.models("segmentation"),
        videos=flow.sections.table("segmentation", "videos"),
        segments=flow.sections.table("segmentation", "segments"),
        frames=flow.sections.pictures("segmentation"),
    output:
        f"results/{flow.study}/sections/40-segmentation-{{name}}.json",
    log:
        f"logs/report/{flow.study}/segmentation-{{name}}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.segmentation.figures:segmentation_section"),
        options=flow.sections.seen("segmentation"),
        files=runs.flags,
    shell:
        "python -m kinoflow segmentation-section {params.files} --section {output} --options {params.options:q} --log {log}"


rule segmentation_speed:
    input:
        models=flow.sections.models("segmentation"),
    output:
        f"logs/timings/{flow.study}/segmentation-{{name}}.json",
    log:
        f"logs/report/{flow.study}/segmentation-speed-{{name}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 8  # all cores of most workstations: what measures time wants to be alone
    resources:
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.tasks.segmentation.speed:segmentation_speed"),
        files=runs.flags,
    shell:
        "python -m kinoflow segmentation-speed {params.files} --section {output} --log {log}"
