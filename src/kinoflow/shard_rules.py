"""What the rules on shards ask for: frames, optical flow, features and reduced features."""

import json
import shlex
from collections.abc import Callable
from typing import Any

from kinoflow.dataset_rules import NOTHING
from kinoflow.datasets import listing
from kinoflow.features.options import RunWeights
from kinoflow.layout import READS, Layout, Shards, needs_roles
from kinoflow.options import resolved
from kinoflow.run_state import RunState
from kinoflow.stock import Stock, roles_path, said


class ShardRules:
    """Every set of shards. What a rule asks for is a function of its wildcards."""

    def __init__(self, layout: Layout, state: RunState, stock: Stock):
        self.layout, self.state, self.stock = layout, state, stock

    def options(self, kind: str) -> Callable[[Any], str]:
        """Return a function of wildcards: the resolved options of frames, flow, features or pca as one JSON text."""

        def text(wildcards: Any) -> str:
            shards = self._shards(wildcards, kind)
            if kind == "features":
                return self.layout.features_json(shards.options)
            published = kind == "flow" and not shards.below  # not computed
            unread = READS[type(shards.options)] + (("method", "bound") if published else ())
            values = resolved(shards.options, unread)
            return self._with_numbering(values, shards) if kind == "frames" or published else values

        return text

    def _with_numbering(self, text: str, shards: Shards) -> str:
        """Add to the options of frames, or of published flow, how pictures are numbered, where these are what a dataset holds."""
        options = shards.dataset.options
        if options.content != "pictures":
            return text
        return json.dumps(json.loads(text) | {"pictures": json.loads(resolved(options.pictures))}, sort_keys=True)

    def speed(self, wildcards: Any, input: Any) -> str:
        """Return the flags of an extractor that change no value, so they are not recorded either."""
        run = self._shards(wildcards, "features").options
        return f"--batch {run.batch} --threads {run.threads}"

    def threads(self, wildcards: Any) -> int:
        """Return the threads that an extractor asks for."""
        return self._shards(wildcards, "features").options.threads

    def weights_flag(self, wildcards: Any, input: Any) -> str:
        """Return the flag that names an extractor's weight file."""
        shards = self._shards(wildcards, "features")
        path = self.layout.weight_file(shards.options, shards.seed)
        return f"--weights {shlex.quote(path)}" if path else ""

    def weights_identity(self, wildcards: Any) -> str:
        """Return what tells an extractor's weights from others."""
        shards = self._shards(wildcards, "features")
        return self.layout.weights_identity(shards.options, shards.seed)

    def frames_shard(self, wildcards: Any) -> str:
        """Return the frame shard that a features shard is made from."""
        shards = self._shards(wildcards, "features").below
        assert shards is not None
        return f"{shards.folder}/{wildcards.shard}.h5"

    def frames_of_flow(self, wildcards: Any) -> str:
        """Return the frame shard that a flow shard is made from."""
        shards = self._shards(wildcards, "flow").below
        assert shards is not None
        return f"{shards.folder}/{wildcards.shard}.h5"

    def run_weights(self, wildcards: Any) -> list[str]:
        """Return the checkpoint of the run whose weights an extractor takes: an edge of the graph."""
        shards = self._shards(wildcards, "features")
        place = shards.options.weights
        return [self.layout.checkpoint(place, shards.seed)] if isinstance(place, RunWeights) else []

    def partials(self, wildcards: Any) -> list[str]:
        """Return the partial sums of a PCA, in the order of shards."""
        shards = self._shards(wildcards, "pca")
        return [f"{shards.folder}/partial/{shard}.h5" for shard in listing.shard_names(shards.dataset.options.shards)]

    def hashes(self, kind: str, source: str = "", trained: str = "") -> str:
        """Return a pattern of the hashes that stand for frames, flow, PCAs, or extractors (of one ``source``).

        trained: extractors that are networks of this room's runs, which see whole videos; empty: the others.
        """
        found = getattr(self.layout, kind).values()
        if source:
            found = [s for s in found if s.options.source == source and s.options.trained_by == trained]
        return "|".join(sorted({s.hash for s in found})) or NOTHING

    def flow_hashes(self, published: bool) -> str:
        """Return a pattern of the hashes that stand for flow that is ``published``, or computed of frames."""
        found = (shards for shards in self.layout.flow.values() if (shards.below is None) == published)
        return "|".join(sorted({shards.hash for shards in found})) or NOTHING

    def roles_digest(self, wildcards: Any) -> str:
        """Return what triggers a shard's partial sums: splits and tasks of its videos.

        Jobs return it too, from the file that the stage reads: on a cluster they compute the key of the cache.
        """
        return said(self.stock.roles_digest, self._shards(wildcards, "pca"), wildcards.shard)

    def tasks_digest(self, wildcards: Any) -> str:
        """Return what triggers a shard's projection beside features and basis: the tasks of its videos, if they count."""
        return said(self.stock.tasks_digest, self._shards(wildcards, "pca"), wildcards.shard)

    def roles_flag(self, wildcards: Any, input: Any) -> str:
        """Return the flag that names the file with the roles of a shard's videos."""
        pca = self._shards(wildcards, "pca")
        return f"--roles {roles_path(pca.dataset, wildcards.shard)}" if needs_roles(pca.options) else ""

    def _shards(self, wildcards: Any, kind: str) -> Shards:
        folder = f"data/{wildcards.dataset}/{'features' if kind == 'pca' else kind}/{wildcards[kind if kind != 'pca' else 'features']}"
        folder += f"/pca/{wildcards.pca}" if kind == "pca" else ""
        return next(shards for shards in getattr(self.layout, kind).values() if shards.folder == folder)
