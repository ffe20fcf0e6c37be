"""The stage `abstraction-metadata`: fetch the published taxonomies, sets, vectors and features, from wherever they are."""

from kinoflow.progress import log
from kinoflow.stage import State
from kinoflow.tasks.abstraction import published
from kinoflow.tasks.abstraction.options import MetadataOptions


def abstraction_metadata(folder: State, options: MetadataOptions) -> None:
    """Fetch the published files of sets that are not there yet; what is interrupted goes on the next time.

    folder: the folder to put them into
    """
    names = published.file_names(options.datasets, options.datatypes, options.splits)
    found = published.fetch_metadata(folder, names, options.base, options.overwrite, options.only_tell, options.sha256)
    if not options.only_tell:
        log.info("%d files are in %s", len(found), folder)
