"""What can go wrong between a model's name and its weights, one class a cause.

Every message is one paragraph that says what happened and what to do next.
"""

from __future__ import annotations


class WeightsError(RuntimeError):
    """Weights could not be found, fetched or loaded."""


class WeightFileError(WeightsError, ValueError):
    """The file that was named cannot be used; another value of the parameter helps."""


class WeightFileNotFoundError(WeightFileError):
    """There is no readable file at the place that was named."""


class TruncatedFileError(WeightFileError):
    """The file ends before its contents do."""


class NotACheckpointError(WeightFileError):
    """The file is whole, and holds no weights."""


class UnsafeCheckpointError(WeightFileError):
    """The file would have to run code to be read; nothing of it was run."""


class OtherModelError(WeightFileError):
    """The file holds the weights of another model."""


class MissingKeysError(WeightFileError):
    """Weights that the model needs are not in the file."""


class UnexpectedKeysError(WeightFileError):
    """The file holds weights that the model has no place for."""


class WrongShapesError(WeightFileError):
    """Weights in the file have other shapes than the model's."""


class DownloadError(WeightsError):
    """The weights could not be fetched from the Hugging Face Hub."""


class NoTokenError(DownloadError):
    """The weights are gated and no token is set up on this machine."""


class TokenError(DownloadError):
    """There is a token, and the Hub does not accept it or it lacks a permission."""


class AccessError(DownloadError):
    """The token's account was not granted access: not asked for, pending or refused."""


class NoNetworkError(DownloadError):
    """The Hub could not be reached."""


class HubUnavailableError(DownloadError):
    """The Hub was reached and cannot answer now."""


class DiskFullError(DownloadError):
    """There is no room for the file."""


class CorruptDownloadError(DownloadError):
    """What arrived is not the file that the Hub announced."""
