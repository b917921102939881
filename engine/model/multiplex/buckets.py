"""Keeps which object sits in which slot of which bucket, and what is remembered of the buckets."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

SLOTS = 16
"""Objects of a bucket."""


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Assigns N objects to the slots of B buckets; no call changes it.

    A slot whose object was removed stays empty, as in Meta's tracker: what the memory of earlier
    frames holds of the slot is of another object. A bucket is dropped with its last object.

    Attributes:
        ids: Ids of the objects.
        places: The slot of each, counted through all buckets.
        count: How many buckets there are.
        used: How many slots hold an object or held one.
    """

    ids: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    count: int = 0
    used: int = 0

    @property
    def free(self) -> int:
        """How many objects can still be added without another bucket."""
        return self.count * SLOTS - self.used

    def add(self, ids: Sequence[int]) -> Buckets:
        """Adds objects, in further buckets where there are too few free slots."""
        used = self.used + len(ids)
        places = (*self.places, *range(self.used, used))
        return Buckets((*self.ids, *ids), places, -(-used // SLOTS), used)

    def remove(self, ids: Collection[int]) -> tuple[Buckets, list[int]]:
        """Removes objects; ids of others are ignored.

        Returns:
            The rest, and which of the buckets are left.
        """
        left = [(i, place) for i, place in zip(self.ids, self.places, strict=True) if i not in ids]
        kept = sorted({place // SLOTS for _, place in left})
        moved = {bucket: k * SLOTS for k, bucket in enumerate(kept)}
        last_bucket, last_slot = divmod(self.used - 1, SLOTS)
        # Only the last bucket has free slots.
        used = moved[last_bucket] + last_slot + 1 if last_bucket in moved else len(kept) * SLOTS
        places = tuple(moved[place // SLOTS] + place % SLOTS for _, place in left)
        return Buckets(tuple(i for i, _ in left), places, len(kept), used), kept

    def spread(self, rows: Tensor) -> Tensor:
        """Puts the rows of N objects in their slots, (N, ...) to (B, S, ...); others are 0."""
        spread = rows.new_zeros(self.count * SLOTS, *rows.shape[1:])
        spread[list(self.places)] = rows
        return spread.unflatten(0, (self.count, SLOTS))

    def gather(self, slots: Tensor) -> Tensor:
        """Takes the rows of N objects out of their slots, (B, S, ...) to (N, ...)."""
        return slots.flatten(0, 1)[list(self.places)]


@dataclasses.dataclass(frozen=True)
class FrameMemory:
    """Holds what is remembered of a frame, for B buckets.

    Attributes:
        spatial: (B, L, C), the encoded masks; without cells where only pointers are still read.
        image: (1, L, C), the frame's features, likewise.
        pointers: (B, S, C), one for each slot.
    """

    spatial: Tensor
    image: Tensor
    pointers: Tensor

    def drop_cells(self) -> FrameMemory:
        """Returns the pointers alone."""
        return FrameMemory(
            self.spatial.new_zeros(len(self.spatial), 0, self.spatial.shape[2]),
            self.image.new_zeros(1, 0, self.image.shape[2]),
            self.pointers,
        )

    def keep(self, buckets: list[int]) -> FrameMemory:
        """Returns what is remembered for some of the buckets."""
        return FrameMemory(self.spatial[buckets], self.image, self.pointers[buckets])


@dataclasses.dataclass(frozen=True)
class ObjectMasks:
    """Holds the masks of N objects on a frame.

    Attributes:
        logits: (N, 1, g, g) float32 mask logits.
        scores: (N, 1) logits of whether the object is visible.
        pointers: (N, C).
        is_prompted: (N,) float32, 1 for objects whose mask was given or clicked on this frame.
    """

    logits: Tensor
    scores: Tensor
    pointers: Tensor
    is_prompted: Tensor

    def append(self, other: ObjectMasks) -> ObjectMasks:
        """Adds further objects behind these."""
        pairs = zip(self._list_tensors(), other._list_tensors(), strict=True)
        return ObjectMasks(*(torch.cat(pair) for pair in pairs))

    def keep(self, rows: list[int]) -> ObjectMasks:
        """Returns those of some of the objects."""
        return ObjectMasks(*(tensor[rows] for tensor in self._list_tensors()))

    def replace(self, row: int, other: ObjectMasks) -> ObjectMasks:
        """Returns these with one object's in place of row ``row``."""
        changed = [tensor.clone() for tensor in self._list_tensors()]
        for own, tensor in zip(changed, other._list_tensors(), strict=True):
            own[row] = tensor[0]
        return ObjectMasks(*changed)

    def _list_tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.logits, self.scores, self.pointers, self.is_prompted


@dataclasses.dataclass
class BucketState:
    """Holds the objects of some buckets, and what is remembered of them.

    Attributes:
        buckets: The objects.
        prompted: Memories of frames on which all objects or a corrected one were prompted.
        tracked: Memories of other frames.
        current: The masks on the current frame, before overlaps are resolved.
    """

    buckets: Buckets
    prompted: dict[int, FrameMemory]
    tracked: dict[int, FrameMemory]
    current: ObjectMasks | None = None

    def copy(self) -> BucketState:
        """Copies the containers; the tensors, which no call writes into, stay shared."""
        return dataclasses.replace(self, prompted=dict(self.prompted), tracked=dict(self.tracked))

    def remove(self, ids: Collection[int]) -> None:
        """Removes objects; ids of others are ignored."""
        rows = [row for row, i in enumerate(self.buckets.ids) if i not in ids]
        if len(rows) == len(self.buckets.ids):
            return
        count = self.buckets.count
        self.buckets, kept = self.buckets.remove(ids)
        self.current = self.current and self.current.keep(rows)
        if len(kept) < count:
            for memories in (self.prompted, self.tracked):
                memories.update({t: memory.keep(kept) for t, memory in memories.items()})
