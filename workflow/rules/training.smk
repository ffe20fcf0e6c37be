# What training looks like in every room. A room says `use rule train as ... with:` and fills in its own part.


rule train:
    output:
        model=f"results/{flow.study}/<room>/{{run}}/seed-{{seed}}/model.safetensors",
        history=f"results/{flow.study}/<room>/{{run}}/seed-{{seed}}/history.csv",
    log:
        f"logs/<room>/{flow.study}/{{run}}/seed-{{seed}}.log",
    benchmark:
        f"logs/usage/{flow.study}/<room>_train/{{run}}/{{seed}}.jsonl"
    pathvars:
        room="none",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        gpu=flow.gpu,
        mem_mb=needs.memory(8000),
        runtime=240,
        slurm_extra=needs.TURN,
        nodes=1,
        processes=1,
    params:
        stage="",
        code="",
        options="",
        data="",
        start="",
        weights="",
        root="",
        files=runs.flags,
        work=runs.work,
    shell:
        "python -m kinoflow.launch {resources.nodes} {resources.processes} {threads} {params.stage} {params.files} {params.root} {params.data} {params.weights}"
        " --model {output.model} --history {output.history} --place {params.work} --seed {wildcards.seed} --options {params.options:q}"
        " --code {params.code} --log {log}"
