"""Memory pools with a limit."""

import os
import weakref


class OutOfMemoryError(MemoryError):
    """The pool's limit is reached."""

    def __init__(self, size, total, limit=0):
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, "
            f"limit set to: {limit:,} bytes)."
        )


class _Held:
    """Bytes that a pool holds: handed out, and in all. Memory of the device, so it may stay."""

    def __init__(self):
        self.used = self.total = 0


class MemoryPool:
    """Where arrays get their memory from. As in CuPy, CUPY_GPU_MEMORY_LIMIT bounds each pool.

    And as in CuPy 14.1 and 14.2, whose free chunks and arenas hold each other, a pool that is
    dropped gives nothing back that `free_all_blocks` has not given back before.
    """

    def __init__(self, allocator=None):
        self._held = _Held()
        self._limit = int(os.environ.get("CUPY_GPU_MEMORY_LIMIT", 0))
        weakref.finalize(self, _dropped.append, self._held)

    def malloc(self, size):
        raise NotImplementedError("the stand-in only knows which pool this is")

    def _take(self, nbytes):
        if self._limit and self._held.used + nbytes > self._limit:
            raise OutOfMemoryError(nbytes, self._held.used, self._limit)
        self._held.used += nbytes
        self._held.total = max(self._held.total, self._held.used)

    def _give_back(self, nbytes):
        self._held.used -= nbytes

    def used_bytes(self):
        return self._held.used

    def total_bytes(self):
        return self._held.total

    def free_bytes(self):
        return self._held.total - self._held.used

    def free_all_blocks(self, stream=None):
        self._held.total = self._held.used

    def n_free_blocks(self):
        return int(self._held.total > self._held.used)

    def set_limit(self, size=None, fraction=None):
        self._limit = int(size or 0)

    def get_limit(self):
        return self._limit


_dropped = []  # what pools held that are no more


def lost_bytes():
    """Bytes that pools hold which nobody has any more: no program gets them back."""
    return sum(held.total for held in _dropped)


default = MemoryPool()
current = [default]  # the last one is in use


class PinnedMemoryPool:
    """Host memory that the device can read; here there is nothing to keep."""

    def free_all_blocks(self):
        pass

    def n_free_blocks(self):
        return 0


pinned = PinnedMemoryPool()
