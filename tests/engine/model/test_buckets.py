"""Which object sits in which slot of which bucket."""

from __future__ import annotations

import pytest
import torch

from infer_segment_anything_3.engine.model.multiplex.buckets import (
    SLOTS,
    Buckets,
    BucketState,
    FrameMemory,
    ObjectMasks,
)


@pytest.mark.parametrize(
    ("counts", "buckets", "free"), [([3], 1, 13), ([16], 1, 0), ([17], 2, 15), ([5, 4], 1, 7)]
)
def test_objects_fill_slots_in_order(counts: list[int], buckets: int, free: int) -> None:
    found, first = Buckets(), 0
    for count in counts:
        found = found.add(range(first, first + count))
        first += count
    assert found.places == tuple(range(first))
    assert (found.count, found.free) == (buckets, free)


def test_a_slot_of_a_removed_object_is_not_used_again() -> None:
    found, kept = Buckets().add(range(5)).remove({1, 4, 99})
    assert (found.ids, found.places, kept) == ((0, 2, 3), (0, 2, 3), [0])
    assert found.free == SLOTS - 5
    assert found.add([7]).places == (0, 2, 3, 5)


def test_a_bucket_goes_with_its_last_object() -> None:
    both = Buckets().add(range(20))
    found, kept = both.remove(set(range(16)))
    assert (found.ids, found.places, kept) == ((16, 17, 18, 19), (0, 1, 2, 3), [1])
    assert (found.count, found.free) == (1, 12)
    found, kept = both.remove(set(range(16, 20)))
    assert (found.count, found.free, kept) == (1, 0, [0])
    found, kept = both.remove(set(range(20)))
    assert (found.ids, found.count, found.free, kept) == ((), 0, 0, [])


def test_rows_go_to_their_slots_and_back() -> None:
    found = Buckets().add(range(18)).remove({0, 3})[0]
    rows = torch.arange(1.0, 17.0)[:, None]
    spread = found.spread(rows)
    assert spread.shape == (2, SLOTS, 1)
    assert torch.equal(found.gather(spread), rows)
    assert spread.count_nonzero() == len(rows), "empty slots are 0"


def test_removal_keeps_what_is_remembered_of_the_other_buckets() -> None:
    memory = FrameMemory(torch.arange(2.0).view(2, 1, 1), torch.ones(1, 1, 1), torch.ones(2, 16, 1))
    rows = torch.arange(20.0)[:, None]
    masks = ObjectMasks(rows[..., None, None], rows, rows, rows[:, 0])
    state = BucketState(Buckets().add(range(20)), {0: memory}, {1: memory}, masks)
    before = state.copy()
    state.remove(set(range(16)))
    for memories in (state.prompted, state.tracked):
        assert [m.spatial.flatten().tolist() for m in memories.values()] == [[1.0]]
    assert state.current is not None
    assert state.current.scores.flatten().tolist() == [16, 17, 18, 19]
    assert len(before.prompted[0].spatial) == len(before.tracked[1].spatial) == 2
    assert before.buckets.count == 2
