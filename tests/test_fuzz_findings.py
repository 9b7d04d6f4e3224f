"""What the guided fuzzer has found, as files that are made here."""

import numpy as np
import pytest
from hostile_files import pack

from tinyembed.errors import InputError
from tinyembed.neighbours.index import Index
from tinyembed.storage.mapped import load_mapped


def test_an_index_whose_shortlist_hides_its_rows(tmp_path):
    """Bounds below every cosine, with right checksums: no row is found, and nothing excludes it."""
    path = tmp_path / "a.index"
    Index(np.eye(4, dtype=np.float32)).save(path)
    arrays, about = load_mapped(path, "index", "index")
    hidden = np.full_like(arrays["table"], -1e9)
    path.write_bytes(pack({**arrays, "table": hidden}, about))
    with pytest.raises(InputError, match="make the index again"):
        Index.load(path).search(np.ones(4), k=3)
