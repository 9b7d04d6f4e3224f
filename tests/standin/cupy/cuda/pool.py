"""Memory pools with a limit."""

import os


class OutOfMemoryError(MemoryError):
    """The pool's limit is reached."""

    def __init__(self, size, total, limit=0):
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, "
            f"limit set to: {limit:,} bytes)."
        )


class MemoryPool:
    """Where arrays get their memory from. As in CuPy, CUPY_GPU_MEMORY_LIMIT bounds each pool."""

    def __init__(self, allocator=None):
        self._used = self._total = 0
        self._limit = int(os.environ.get("CUPY_GPU_MEMORY_LIMIT", 0))

    def malloc(self, nbytes):
        raise NotImplementedError("the stand-in only knows which pool this is")

    def take(self, nbytes):
        if self._limit and self._used + nbytes > self._limit:
            raise OutOfMemoryError(nbytes, self._used, self._limit)
        self._used += nbytes
        self._total = max(self._total, self._used)

    def give_back(self, nbytes):
        self._used -= nbytes

    def used_bytes(self):
        return self._used

    def total_bytes(self):
        return self._total

    def free_bytes(self):
        return self._total - self._used

    def free_all_blocks(self, stream=None):
        self._total = self._used

    def n_free_blocks(self):
        return int(self._total > self._used)

    def set_limit(self, size=None, fraction=None):
        self._limit = int(size or 0)

    def get_limit(self):
        return self._limit


default = MemoryPool()
current = [default]  # the last one is in use


class PinnedMemoryPool:
    """Host memory that the device can read; here there is nothing to keep."""

    def free_all_blocks(self):
        pass

    def n_free_blocks(self):
        return 0


pinned = PinnedMemoryPool()
