# Each subject writes one section; the page joins them.
localrules:
    claims,
    report,


rule data_section:
    input:
        unpack(flow.report.data_section_inputs),
    output:
        f"results/{flow.study}/sections/10-data-{{name}}.json",
    log:
        f"logs/report/{flow.study}/data-{{name}}.log",
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.datasets.figures:data_section"),
        options=flow.report.options,
        name="{name}",
        root=flow.report.section_root,
    shell:
        "python -m kinoflow data-section --videos {input.videos} --segments {input.segments}"
        " --unreadable {input.unreadable} --section {output} --name {params.name} {params.root}"
        " --options {params.options:q} --log {log}"


rule pca_section:
    input:
        basis=flow.report.basis,
    output:
        f"results/{flow.study}/sections/20-pca-{{name}}.json",
    log:
        f"logs/report/{flow.study}/pca-{{name}}.log",
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.features.figures:pca_section"),
        options=flow.report.options,
        name="{name}",
    shell:
        "python -m kinoflow pca-section --basis {input.basis} --section {output} --name {params.name}"
        " --options {params.options:q} --log {log}"


rule claims:
    input:
        metrics=flow.runs.results(),
    output:
        overview=f"results/{flow.study}/metrics.csv",
        table=f"results/{flow.study}/claims.csv",
        section=f"results/{flow.study}/sections/80-claims.json",
    log:
        f"logs/report/{flow.study}/claims.log",
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.report.outcome:claims"),
        options=flow.report.claims,
    shell:
        "python -m kinoflow claims --metrics {input.metrics} --overview {output.overview} --table {output.table}"
        " --section {output.section} --options {params.options:q} --log {log}"


rule report:
    input:
        sections=flow.report.sections(),
        timings=flow.sections.timings(),
    output:
        report(
            f"results/{flow.study}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"study": flow.study},
        ),
    log:
        f"logs/report/{flow.study}/page.log",
    conda:
        "../../envs/media.yaml"
    params:
        code=flow.code("kinoflow.report.page:report"),
        options=flow.report.options,
        study=flow.study,
        config=flow.report.config_text,  # what triggers; it may be longer than a word of a command may be
        file=flow.report.config_file,
        usage=flow.report.usage,
        files=runs.flags,
    shell:
        "python -m kinoflow report {params.files} --page {output} --study {params.study}"
        " --config {params.file:q} --usage {params.usage} --options {params.options:q} --log {log}"
