"""The rows of the report's tables: what is trained for each, and its name.

The paper's seven models are compared by tests. The other rows stand below them in the same tables.
"""

from dataclasses import dataclass

from tinyembed.models.table import MODELS, PAPER_MODELS


@dataclass(frozen=True)
class Row:
    """title: its name in the report; model: of `MODELS`; intervals: as in `ModelSpec`."""

    title: str
    model: str
    intervals: int = 0

    @property
    def spec(self):
        """What the model is given and what it must find."""
        return MODELS[self.model]

    def settings(self, batch_size):
        """What a training's config says of the model. batch_size: of the paper's models."""
        spec = self.spec
        return {
            "model": self.model,
            "batch_size": spec.batch_size if spec.excerpt else batch_size,
            "temperature": spec.temperature,
            "negatives": spec.negatives,
            "intervals": self.intervals,
        }

    def options(self, batch_size):
        """The same as words of a command, as far as they are not the model's own."""
        words = [
            "--model",
            self.model,
            "--batch-size",
            f"{self.settings(batch_size)['batch_size']}",
        ]
        own = self.intervals == self.spec.intervals
        return words + ([] if own else ["--intervals", f"{self.intervals}"])


COUNTS = MODELS["contrastive"].intervals
ROWS = {name: Row(MODELS[name].title, name) for name in PAPER_MODELS} | {
    "composer_counts": Row("Composer Discrimination, with counts of intervals", "composer", COUNTS),
    "contrastive": Row("Contrastive", "contrastive", COUNTS),
    "contrastive_alone": Row("Contrastive, without counts of intervals", "contrastive"),
}
