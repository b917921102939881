"""Settings of the tests that mutate files, and the mutation of bytes."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

FEW, MANY = 150, 2_000
SECONDS = 20
"""No input may take longer: a bound against hangs, not a measurement."""


def examples(count: int) -> Any:
    """The same examples in every run, unless FUZZ_RANDOM is set."""
    return settings(
        max_examples=count,
        deadline=SECONDS * 1000,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize="FUZZ_RANDOM" not in os.environ,
    )


@st.composite
def mutate_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with one to three places cut out, replaced or doubled; or cut off."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 1, 2, 8, 64, 10**9])))
        noise = draw(st.one_of(st.binary(max_size=8), st.just(content[start:stop] * 2)))
        content = content[:start] + noise + content[stop:]
    return content
