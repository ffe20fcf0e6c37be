# What will be done next? Actions in their order and recipes teach a teacher, the teacher teaches a student of videos.
localrules:
    anticipation_summary,


rule action_sequences:
    input:
        videos=flow.tables["actions"].index("videos"),
        segments=flow.tables["actions"].index("segments"),
    output:
        actions="data/{table}/actions.csv",
        classes="data/{table}/classes.json",
    log:
        "logs/words/{table}/actions.log",
    wildcard_constraints:
        table=flow.tables["actions"].folders(),
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.anticipation.sequences:action_sequences"),
        options=flow.tables["actions"].options,
        content=flow.tables["actions"].content("path"),
        dataset=flow.tables["actions"].dataset,
        folder=flow.tables["actions"].user("path"),
        files=runs.flags,
    shell:
        "python -m kinoflow action-sequences {params.files} {params.folder} {params.dataset} --actions {output.actions}"
        " --classes {output.classes} --options {params.options:q} --log {log}"


rule text_corpus:
    input:
        recipes=flow.tables["corpora"].recipes,
    output:
        corpus="data/{table}/corpus.jsonl",
    log:
        "logs/words/{table}/corpus.log",
    wildcard_constraints:
        table=flow.tables["corpora"].folders(),
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.tasks.anticipation.corpus:text_corpus"),
        options=flow.tables["corpora"].options,
        content=flow.tables["corpora"].content("path"),
        user=flow.tables["corpora"].user("path"),
        files=runs.flags,
    shell:
        "python -m kinoflow text-corpus {params.files} {params.user} --corpus {output.corpus} --options {params.options:q} --log {log}"


use rule train as language_train with:
    input:
        corpus=flow.runs.table_of("language", "corpus", "corpus.jsonl"),
        classes=flow.runs.table_of("language", "actions", "classes.json"),
    pathvars:
        room="language",
    threads: flow.runs.threads("language")
    params:
        stage="teacher-pretrain",
        code=flow.code("kinoflow.tasks.anticipation.pretrain:teacher_pretrain"),
        options=flow.runs.options("language", "corpus"),
        data="",
        start=flow.runs.start("language"),
        weights=flow.runs.start_flag("language"),
        root="",


use rule train as teacher_train with:
    input:
        actions=flow.runs.table_of("teachers", "actions", "actions.csv"),
        classes=flow.runs.table_of("teachers", "actions", "classes.json"),
        pretrained=flow.runs.other("teachers", "language", "language", "model.safetensors"),
        corpus=flow.runs.table_of("teachers", "recipes", "corpus.jsonl"),
    pathvars:
        room="teachers",
    threads: flow.runs.threads("teachers")
    params:
        stage="teacher-train",
        code=flow.code("kinoflow.tasks.anticipation.teacher_train:teacher_train"),
        options=flow.runs.options("teachers", "test_on"),
        data="",
        start=flow.runs.start("teachers"),
        weights=flow.runs.start_flag("teachers"),
        root="",


rule teacher_records:
    input:
        model=f"results/{flow.study}/teachers/{{run}}/seed-{{seed}}/model.safetensors",
        actions=flow.runs.table_of("teachers", "actions", "actions.csv"),
        classes=flow.runs.table_of("teachers", "actions", "classes.json"),
        corpus=flow.runs.counted,
    output:
        # Records of all segments are large, made again from the model at any time, and read by students alone.
        records=(temp if flow.words else str)(
            f"results/{flow.study}/teachers/{{run}}/seed-{{seed}}/records.h5"
        ),
        metrics=f"results/{flow.study}/teachers/{{run}}/seed-{{seed}}/metrics.json",
    log:
        f"logs/teachers/{flow.study}/{{run}}/seed-{{seed}}-records.log",
    benchmark:
        f"logs/usage/{flow.study}/teacher_records/{{run}}/{{seed}}.jsonl"
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.tasks.anticipation.teacher_records:teacher_records"),
        options=flow.runs.part("teachers", "records"),
        splits=flow.runs.splits("teachers"),
        files=runs.flags,
    shell:
        "python -m kinoflow teacher-records {params.files} --splits {params.splits} --records {output.records}"
        " --metrics {output.metrics} --options {params.options:q} --log {log}"


rule teacher_combine:
    input:
        teachers=flow.runs.records("ensembles", "teachers"),
        actions=flow.runs.table_of("ensembles", "actions", "actions.csv"),
        classes=flow.runs.table_of("ensembles", "actions", "classes.json"),
    output:
        records=f"results/{flow.study}/ensembles/{{run}}/seed-{{seed}}/records.h5",
        metrics=f"results/{flow.study}/ensembles/{{run}}/seed-{{seed}}/metrics.json",
    log:
        f"logs/ensembles/{flow.study}/{{run}}/seed-{{seed}}.log",
    benchmark:
        f"logs/usage/{flow.study}/teacher_combine/{{run}}/{{seed}}.jsonl"
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.anticipation.combine:teacher_combine"),
        options=flow.runs.options("ensembles", "test_on"),
        splits=flow.runs.splits("ensembles"),
        files=runs.flags,
    shell:
        "python -m kinoflow teacher-combine {params.files} --splits {params.splits} --records {output.records}"
        " --metrics {output.metrics} --options {params.options:q} --log {log}"


rule anticipation_toy:
    input:
        flow.begin,
    output:
        actions="data/{table}/seed-{seed}/actions.csv",
        classes="data/{table}/seed-{seed}/classes.json",
        shard="data/{table}/seed-{seed}/features.h5",
        records="data/{table}/seed-{seed}/records.h5",
    log:
        "logs/words/{table}/seed-{seed}.log",
    wildcard_constraints:
        table=flow.tables["toys"].folders(),
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.anticipation.toy:anticipation_toy"),
        options=flow.tables["toys"].options,
    shell:
        "python -m kinoflow anticipation-toy --actions {output.actions} --classes {output.classes} --shard {output.shard}"
        " --records {output.records} --seed {wildcards.seed} --options {params.options:q} --log {log}"


use rule train as anticipation_train with:
    input:
        actions=flow.runs.toy("actions.csv", flow.runs.table_of("anticipation", "actions", "actions.csv")),
        classes=flow.runs.toy("classes.json", flow.runs.table_of("anticipation", "actions", "classes.json")),
        features=flow.runs.toy("features.h5", flow.runs.features("anticipation")),
        frames=flow.runs.frames("anticipation"),
        teacher=flow.runs.toy("records.h5", flow.runs.records("anticipation", "taught_by")),
        weights=flow.runs.checkpoint("anticipation", "initial"),
        pictures=flow.runs.frames_below("anticipation"),
        extractor=flow.runs.extractor("anticipation"),
        basis=flow.runs.basis("anticipation"),
    pathvars:
        room="anticipation",
    threads: flow.runs.threads("anticipation")
    params:
        stage="anticipation-train",
        code=flow.code("kinoflow.tasks.anticipation.train:anticipation_train"),
        options=flow.runs.options("anticipation", "test", "test_on"),
        data=flow.runs.data("anticipation"),
        start=flow.runs.start("anticipation"),
        weights=runs.joined(
            flow.runs.extractor_flag("anticipation", "extractor"),
            flow.runs.start_flag("anticipation", "backbone"),
        ),
        root=flow.runs.folder("anticipation"),


rule anticipation_evaluate:
    input:
        models=f"results/{flow.study}/anticipation/{{run}}/seed-{{seed}}/model.safetensors",
        actions=flow.runs.toy("actions.csv", flow.runs.table_of("anticipation", "actions", "actions.csv")),
        classes=flow.runs.toy("classes.json", flow.runs.table_of("anticipation", "actions", "classes.json")),
        features=flow.runs.toy("features.h5", flow.runs.features("anticipation")),
        frames=flow.runs.frames("anticipation"),
        teacher=flow.runs.toy("records.h5", flow.runs.records("anticipation", "taught_by")),
    output:
        metrics=f"results/{flow.study}/anticipation/{{run}}/seed-{{seed}}/metrics{{test}}.json",
        predictions=f"results/{flow.study}/anticipation/{{run}}/seed-{{seed}}/predictions{{test}}.csv",
        scores=f"results/{flow.study}/anticipation/{{run}}/seed-{{seed}}/scores{{test}}.h5",
        later=f"results/{flow.study}/anticipation/{{run}}/seed-{{seed}}/later{{test}}.csv",
    log:
        f"logs/anticipation/{flow.study}/{{run}}/seed-{{seed}}-test{{test}}.log",
    benchmark:
        f"logs/usage/{flow.study}/anticipation_evaluate/{{run}}/{{seed}}{{test}}.jsonl"
    conda:
        "../../envs/torch.yaml"
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.tasks.anticipation.evaluate:anticipation_evaluate"),
        options=flow.runs.test("anticipation"),
        splits=flow.runs.splits("anticipation"),
        files=runs.flags,
        root=flow.runs.folder("anticipation"),
    shell:
        "python -m kinoflow anticipation-evaluate {params.files} {params.root} --splits {params.splits}"
        " --metrics {output.metrics} --predictions {output.predictions} --scores {output.scores} --later {output.later}"
        " --options {params.options:q} --log {log}"


rule anticipation_fuse:
    input:
        tests=flow.runs.fused,
        actions=flow.runs.toy(
            "actions.csv", flow.runs.table_of("fusions", "actions", "actions.csv"), "fusions"
        ),
        classes=flow.runs.toy(
            "classes.json", flow.runs.table_of("fusions", "actions", "classes.json"), "fusions"
        ),
    output:
        metrics=f"results/{flow.study}/fusions/{{run}}/seed-{{seed}}/metrics.json",
        predictions=f"results/{flow.study}/fusions/{{run}}/seed-{{seed}}/predictions.csv",
        scores=f"results/{flow.study}/fusions/{{run}}/seed-{{seed}}/scores.h5",
    log:
        f"logs/fusions/{flow.study}/{{run}}/seed-{{seed}}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(8000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.anticipation.fuse:anticipation_fuse"),
        options=flow.runs.options("fusions", "runs", "test"),
        splits=flow.runs.splits("fusions"),
        files=runs.flags,
    shell:
        "python -m kinoflow anticipation-fuse {params.files} --splits {params.splits} --metrics {output.metrics}"
        " --predictions {output.predictions} --scores {output.scores} --options {params.options:q} --log {log}"


rule anticipation_summary:
    input:
        metrics=flow.runs.summed,
    output:
        summary=f"results/{flow.study}/summaries/{{run}}/seed-{{seed}}/metrics.json",
    log:
        f"logs/summaries/{flow.study}/{{run}}/seed-{{seed}}.log",
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.tasks.anticipation.summary:anticipation_summary"),
        files=runs.flags,
    shell:
        "python -m kinoflow anticipation-summary {params.files} --summary {output.summary} --log {log}"


rule teachers_section:
    input:
        metrics=flow.sections.words("teachers", "metrics.json"),
        summaries=flow.sections.words("summaries", "metrics.json"),
    output:
        f"results/{flow.study}/sections/55-teachers.json",
    log:
        f"logs/report/{flow.study}/teachers.log",
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.anticipation.teacher_figures:teachers_section"),
        files=runs.flags,
    shell:
        "python -m kinoflow teachers-section {params.files} --section {output} --log {log}"


rule anticipation_section:
    input:
        metrics=flow.sections.files("anticipation", "metrics.json"),
        histories=flow.sections.files("anticipation", "history.csv"),
        predictions=flow.sections.files("anticipation", "predictions.csv"),
        scores=flow.sections.files("anticipation", "scores.h5"),
        models=flow.sections.files("anticipation", "model.safetensors"),
        later=flow.sections.files("anticipation", "later.csv"),
        actions=flow.sections.table_of("anticipation", "actions", "actions.csv"),
        classes=flow.sections.table_of("anticipation", "actions", "classes.json"),
        features=flow.sections.shards("anticipation"),
        frames=flow.sections.pictures("anticipation"),
        fusions=flow.sections.together("fusions"),
        summaries=flow.sections.together("summaries"),
    output:
        f"results/{flow.study}/sections/60-anticipation-{{name}}.json",
    log:
        f"logs/report/{flow.study}/anticipation-{{name}}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.tasks.anticipation.figures:anticipation_section"),
        options=flow.sections.students,
        files=runs.flags,
    shell:
        "python -m kinoflow anticipation-section {params.files} --section {output} --options {params.options:q} --log {log}"
