# From a folder, a render or a download to the two tables of a dataset.


rule render:
    input:
        flow.begin,
    output:
        segments="data/{dataset}/raw/segments.csv",
        splits="data/{dataset}/raw/splits.csv",
        recipes="data/{dataset}/raw/recipes.txt",
        sentences="data/{dataset}/raw/sentences.jsonl",
        taxonomy="data/{dataset}/raw/taxonomy.json",
    log:
        "logs/render/{dataset}.log",
    benchmark:
        "logs/usage/{dataset}/render.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(source="kitchen"),
    conda:
        "../../envs/media.yaml"
    threads: 4
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.datasets.kitchen.render:render"),
        options=flow.datasets.options("render"),
        scan=flow.datasets.options("scan"),
        raw="data/{dataset}/raw",
        data="data/{dataset}",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow render --raw {params.raw} --segments {output.segments} --splits {output.splits}"
        " --recipes {output.recipes} --sentences {output.sentences} --taxonomy {output.taxonomy}"
        " --options {params.options:q} --code {params.code} --workers {threads} --log {log}"
        " && python -m kinoflow lists --root {params.root:q} --data {params.data} --options {params.scan:q}"


rule download:
    input:
        flow.begin,
    output:
        "data/{dataset}/fetched.json",
    log:
        "logs/download/{dataset}.log",
    benchmark:
        "logs/usage/{dataset}/download.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(source="download"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(1000),
        runtime=needs.minutes(1440),
    params:
        code=flow.code("kinoflow.datasets.download:download"),
        identity=flow.datasets.options("download", "place", "attempts", "patience", "form"),
        options=flow.datasets.download_options,
        scan=flow.datasets.options("scan"),
        raw="data/{dataset}/raw",
        data="data/{dataset}",
        root=flow.datasets.place,
    shell:
        "python -m kinoflow download --raw {params.raw} --marker {output} --options {params.options:q} --log {log}"
        " && python -m kinoflow lists --root {params.root:q} --data {params.data} --options {params.scan:q}"


rule task_links:
    input:
        flow.datasets.originals,
    output:
        "data/{dataset}/links.csv",
    log:
        "logs/task_links/{dataset}.log",
    benchmark:
        "logs/usage/{dataset}/task_links.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(linked=True),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.datasets.published.long_videos:task_links"),
        options=flow.datasets.options("which_files"),
        content=flow.datasets.names_digest,
        place=flow.datasets.linked,
        scan=flow.datasets.options("scan"),
        folder=flow.datasets.published,
        data="data/{dataset}",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow task-links --annotations {params.folder:q} --root {params.place:q} --links {params.root:q}"
        " --table {output} --options {params.options:q} --log {log}"
        " && python -m kinoflow lists --root {params.root:q} --data {params.data} --options {params.scan:q}"


rule convert_pouring:
    input:
        flow.datasets.originals,
    output:
        labels="data/{dataset}/converted/labels.csv",
        splits="data/{dataset}/converted/splits.csv",
    log:
        "logs/convert_pouring/{dataset}.log",
    benchmark:
        "logs/usage/{dataset}/convert_pouring.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(convert="pouring"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(120),
    params:
        code=flow.code("kinoflow.datasets.published.pouring:convert_pouring"),
        content=flow.datasets.release_digest,
        records=flow.datasets.place,
        scan=flow.datasets.options("scan"),
        clips="data/{dataset}/clips",
        data="data/{dataset}",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow convert-pouring --records {params.records:q} --videos {params.clips}"
        " --labels {output.labels} --splits {output.splits} --log {log}"
        " && python -m kinoflow lists --root {params.root:q} --data {params.data} --options {params.scan:q}"


rule convert_penn_action:
    input:
        flow.datasets.originals,
    output:
        labels="data/{dataset}/converted/labels.csv",
        splits="data/{dataset}/converted/splits.csv",
        classes="data/{dataset}/converted/classes.txt",
        missing="data/{dataset}/converted/missing.csv",
    log:
        "logs/convert_penn_action/{dataset}.log",
    benchmark:
        "logs/usage/{dataset}/convert_penn_action.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(convert="penn_action"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(240),
    params:
        code=flow.code("kinoflow.datasets.published.penn_action:convert_penn_action"),
        options=flow.datasets.options("convert", "kind", "release", "phases"),
        content=flow.datasets.release_digest,
        release=flow.datasets.part("release"),
        phases=flow.datasets.part("phases"),
        scan=flow.datasets.options("scan"),
        clips="data/{dataset}/clips",
        data="data/{dataset}",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow convert-penn-action --release {params.release:q} --phases {params.phases:q} --videos {params.clips}"
        " --labels {output.labels} --splits {output.splits} --classes {output.classes} --missing {output.missing}"
        " --options {params.options:q} --log {log}"
        " && python -m kinoflow lists --root {params.root:q} --data {params.data} --options {params.scan:q}"


rule cut_finegym:
    input:
        flow.datasets.originals,
    output:
        labels="data/{dataset}/converted/labels.csv",
        splits="data/{dataset}/converted/splits.csv",
        classes="data/{dataset}/converted/classes.txt",
        missing="data/{dataset}/converted/missing.csv",
    log:
        "logs/cut_finegym/{dataset}.log",
    benchmark:
        "logs/usage/{dataset}/cut_finegym.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(convert="finegym"),
    conda:
        "../../envs/media.yaml"
    threads: 4
    resources:
        mem_mb=needs.memory(4000),
        runtime=needs.minutes(1440),
    params:
        code=flow.code("kinoflow.datasets.published.finegym:cut_finegym"),
        options=flow.datasets.options("convert", "kind", "annotations", "raw"),
        content=flow.datasets.release_digest,
        annotations=flow.datasets.part("annotations"),
        raw=flow.datasets.part("raw"),
        scan=flow.datasets.options("scan"),
        clips="data/{dataset}/clips",
        data="data/{dataset}",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow cut-finegym --annotations {params.annotations:q} --root {params.raw:q} --videos {params.clips}"
        " --labels {output.labels} --splits {output.splits} --classes {output.classes} --missing {output.missing}"
        " --options {params.options:q} --workers {threads} --log {log}"
        " && python -m kinoflow lists --root {params.root:q} --data {params.data} --options {params.scan:q}"


rule probe:
    input:
        flow.datasets.fetched,
    output:
        update("data/{dataset}/probe/{shard}.csv"),
    log:
        "logs/probe/{dataset}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/probe/{shard}.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(content="videos"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(1000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.media.probe:probe"),
        options=flow.datasets.options("probe"),
        videos=flow.datasets.digest,
        list="data/{dataset}/lists/{shard}.json",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow probe --root {params.root:q} --list {params.list} --table {output}"
        " --options {params.options:q} --code {params.code} --log {log}"


rule probe_pictures:
    input:
        flow.datasets.fetched,
    output:
        update("data/{dataset}/probe/{shard}.csv"),
    log:
        "logs/probe/{dataset}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/probe/{shard}.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(content="pictures"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(1000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.media.numbered:probe_pictures"),
        options=flow.datasets.options("pictures"),
        videos=flow.datasets.digest,
        list="data/{dataset}/lists/{shard}.json",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow probe-pictures --root {params.root:q} --list {params.list} --table {output}"
        " --options {params.options:q} --code {params.code} --log {log}"


rule probe_files:
    input:
        flow.datasets.fetched,
    output:
        update("data/{dataset}/probe/{shard}.csv"),
    log:
        "logs/probe/{dataset}/{shard}.log",
    benchmark:
        "logs/usage/{dataset}/probe/{shard}.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(content="features"),
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(60),
    params:
        code=flow.code("kinoflow.features.outside:probe_files"),
        options=flow.datasets.options("files"),
        videos=flow.datasets.digest,
        list="data/{dataset}/lists/{shard}.json",
        root=flow.datasets.root,
    shell:
        "python -m kinoflow probe-files --root {params.root:q} --list {params.list} --table {output}"
        " --options {params.options:q} --code {params.code} --log {log}"


rule inventory:
    input:
        flow.datasets.tables,
    output:
        inventory="data/{dataset}/inventory.csv",
        unreadable="data/{dataset}/unreadable.csv",
    log:
        "logs/inventory/{dataset}.log",
    benchmark:
        "logs/usage/{dataset}/inventory.jsonl"
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.datasets.inventory:inventory"),
    shell:
        "python -m kinoflow inventory --tables {input} --inventory {output.inventory}"
        " --unreadable {output.unreadable} --log {log}"


rule annotations:
    input:
        inventory="data/{dataset}/inventory.csv",
    output:
        labels="data/{dataset}/annotations/{annotations}/labels.csv",
        splits="data/{dataset}/annotations/{annotations}/splits.csv",
        classes="data/{dataset}/annotations/{annotations}/classes.txt",
        missing="data/{dataset}/annotations/{annotations}/missing.csv",
    log:
        "logs/annotations/{dataset}/{annotations}.log",
    benchmark:
        "logs/usage/{dataset}/annotations/{annotations}.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(long=False),
        annotations="[0-9a-f]{10}",
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.datasets.published.annotations:annotations"),
        options=flow.datasets.options("annotations"),
        content=flow.datasets.published_digest,
        folder=flow.datasets.published,
    shell:
        "python -m kinoflow annotations --annotations {params.folder:q} --inventory {input.inventory}"
        " --labels {output.labels} --splits {output.splits} --classes {output.classes} --missing {output.missing}"
        " --options {params.options:q} --log {log}"


rule video_annotations:
    input:
        inventory="data/{dataset}/inventory.csv",
    output:
        labels="data/{dataset}/annotations/{annotations}/labels.csv",
        splits="data/{dataset}/annotations/{annotations}/splits.csv",
        steps="data/{dataset}/annotations/{annotations}/steps.csv",
        narration="data/{dataset}/annotations/{annotations}/narration.csv",
        missing="data/{dataset}/annotations/{annotations}/missing.csv",
    log:
        "logs/annotations/{dataset}/{annotations}.log",
    benchmark:
        "logs/usage/{dataset}/annotations/{annotations}.jsonl"
    wildcard_constraints:
        dataset=flow.datasets.folders(long=True),
        annotations="[0-9a-f]{10}",
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.datasets.published.long_videos:video_annotations"),
        options=flow.datasets.options("annotations"),
        content=flow.datasets.published_digest,
        folder=flow.datasets.published,
    shell:
        "python -m kinoflow video-annotations --annotations {params.folder:q} --inventory {input.inventory}"
        " --labels {output.labels} --splits {output.splits} --steps {output.steps} --narration {output.narration}"
        " --missing {output.missing} --options {params.options:q} --log {log}"


rule index:
    input:
        flow.datasets.annotated,
        inventory="data/{dataset}/inventory.csv",
    output:
        videos="data/{dataset}/index/{index}/videos.csv",
        segments="data/{dataset}/index/{index}/segments.csv",
    log:
        "logs/index/{dataset}/{index}.log",
    benchmark:
        "logs/usage/{dataset}/index/{index}.jsonl"
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=needs.memory(2000),
        runtime=needs.minutes(30),
    params:
        code=flow.code("kinoflow.datasets.index:index"),
        options=flow.datasets.options("index", "labels", "splits"),
        labels=flow.datasets.annotations_digest,
        files=flow.datasets.annotations,
    shell:
        "python -m kinoflow index --inventory {input.inventory} {params.files}"
        " --videos {output.videos} --segments {output.segments} --options {params.options:q} --log {log}"
