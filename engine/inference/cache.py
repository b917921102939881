"""Implements a least-recently-used cache bounded in items and in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

import torch

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """A cache that drops the least recently used items to stay within two bounds.

    Not thread-safe: it is used within :meth:`ModelExecution.step` only.

    Attributes:
        max_items: Most items kept. May be changed; takes effect at the next :meth:`put`.
        max_bytes: Most bytes kept, likewise. The newest item stays even if it alone is larger.
    """

    def __init__(self, max_items: int, max_bytes: int, size_of: Callable[[V], int]) -> None:
        """Creates an empty cache.

        Args:
            max_items: Most items kept.
            max_bytes: Most bytes kept.
            size_of: Bytes an item takes now; asked again at every :meth:`put`.
        """
        self.max_items, self.max_bytes = max_items, max_bytes
        self._size_of = size_of
        self._items: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        """Items kept."""
        return len(self._items)

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return sum(self._size_of(value) for value in self._items.values())

    def get(self, key: K) -> V | None:
        """Returns the item, now the last used, or None."""
        if key not in self._items:
            return None
        self._items.move_to_end(key)
        return self._items[key]

    def put(self, key: K, value: V) -> None:
        """Adds an item and drops the least recently used until both bounds hold."""
        self._items[key] = value
        self._items.move_to_end(key)
        self.trim()

    def trim(self) -> None:
        """Drops the least recently used items until both bounds hold, but for the newest."""
        sizes = {key: self._size_of(value) for key, value in self._items.items()}
        total = sum(sizes.values())
        while len(self._items) > 1 and (
            len(self._items) > self.max_items or total > self.max_bytes
        ):
            key, _ = self._items.popitem(last=False)
            total -= sizes[key]

    def clear(self) -> None:
        """Drops everything."""
        self._items.clear()


def count_tensor_bytes(values: Iterable[Any]) -> int:
    """Counts the bytes of all tensors in nested dicts, lists and tuples, shared storage once."""
    seen: dict[int, int] = {}
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, torch.Tensor):
            seen[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list | tuple):
            pending.extend(value)
    return sum(seen.values())
