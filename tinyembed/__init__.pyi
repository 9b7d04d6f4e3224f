from tinyembed.backends.choice import use as use_backend
from tinyembed.embedding.embed import EmbeddingWarning as EmbeddingWarning
from tinyembed.embedding.embed import embed as embed
from tinyembed.embedding.similarity import similarity as similarity
from tinyembed.embedding.trained import load as load
from tinyembed.embedding.transformer import Embedder as Embedder
from tinyembed.models.weights import load_weights as load_weights
from tinyembed.music.corpus import Corpus as Corpus
from tinyembed.music.midi import read_midi as read_midi
from tinyembed.music.roll import onset_roll as onset_roll
from tinyembed.music.roll import roll_to_midi as roll_to_midi
from tinyembed.music.roll import to_midi as to_midi
from tinyembed.neighbours.index import Index as Index

__version__: str
__all__ = [
    "Corpus",
    "Embedder",
    "EmbeddingWarning",
    "Index",
    "embed",
    "load",
    "load_weights",
    "onset_roll",
    "read_midi",
    "roll_to_midi",
    "similarity",
    "to_midi",
    "use_backend",
]
