"""The stage that writes the list of videos of every shard: what the workflow's main process does for the user's folder."""

from kinoflow.datasets.listing import remove_lists, scan, scan_folders, take_stock
from kinoflow.datasets.options import ScanOptions
from kinoflow.progress import log
from kinoflow.stage import Folder, State


def lists(root: Folder, data: State, options: ScanOptions) -> None:
    """Write lists/<shard>.json below the dataset's folder for every shard.

    root: the folder of the videos
    data: the dataset's folder; a list and a probe table of an earlier run there tell touched videos from changed ones
    """
    look = scan_folders if options.content == "pictures" else scan
    found = look(root, options.shards, options.include, options.exclude, options.watch)
    for shard, videos in found.items():
        take_stock(root, videos, data, shard, options.watch)
    remove_lists(data, found)
    log.info("%d files in %d shards", sum(map(len, found.values())), options.shards)
