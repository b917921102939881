"""Numbers the instances that phrases find on one image, each once."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine import Instance
from ..engine.images import RgbImage
from .pictures import draw_candidates, list_candidates

SAME_INSTANCE_IOU = 0.8
"""What two phrases find is one candidate if the masks overlap by more."""


class Candidates:
    """Holds the candidates of one image; a number, once given, stays.

    Attributes:
        most: How many there may be.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._found: list[tuple[str, Instance]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, name: str, found: Sequence[Instance]) -> tuple[int, int]:
        """Adds instances that are not there yet, as far as there is room.

        Args:
            name: What they are called in the list, a phrase for instance.
            found: Instances with masks that are not empty, the best first.

        Returns:
            How many are new, and how many more had no room.
        """
        new = self._leave_out_known(found)
        shown = new[: self.most - len(self._found)]
        self._found += [(name, instance) for instance in shown]
        return len(shown), len(new) - len(shown)

    def get(self, numbers: Sequence[int]) -> list[Instance]:
        """Returns the candidates with these numbers.

        Raises:
            ValueError: A sentence, if there is none with one of the numbers.
        """
        if not self._found:
            raise ValueError("There are no candidates yet: segment a phrase first.")
        if any(not 1 <= number <= len(self._found) for number in numbers):
            raise ValueError(f"The numbers go from 1 to {len(self._found)}.")
        return [self._found[number - 1][1] for number in numbers]

    def to_text(self) -> str:
        """Lists all with number, name, box, area and score, a line each."""
        return list_candidates(self._found)

    def draw(self, image: RgbImage, side_px: int) -> RgbImage:
        """Draws all over their image, with their numbers; see :func:`.draw_candidates`."""
        return draw_candidates(image, [instance for _, instance in self._found], side_px)

    def _leave_out_known(self, found: Sequence[Instance]) -> list[Instance]:
        from ..engine.postprocess.nms import compute_mask_ious  # needs PyTorch

        known = [instance.mask for _, instance in self._found]
        ious = compute_mask_ious([*known, *(instance.mask for instance in found)])
        return [
            instance
            for k, instance in enumerate(found, start=len(known))
            if not (ious[k, : len(known)] > SAME_INSTANCE_IOU).any()
        ]
