"""Declares the errors of finding, downloading and loading weights, a class for each cause.

Every message is one line that says what happened and what to do next.
"""

from __future__ import annotations


class WeightsError(RuntimeError):
    """Weights could not be found, downloaded or loaded."""


class WeightFileError(WeightsError, ValueError):
    """The given file cannot be used; another value of the parameter is needed."""


class WeightFileNotFoundError(WeightFileError):
    """There is no readable file at the given path."""


class TruncatedFileError(WeightFileError):
    """The file is truncated."""


class NotACheckpointError(WeightFileError):
    """The file is complete but is not a checkpoint."""


class UnsafeCheckpointError(WeightFileError):
    """Reading the file would run code; no code was run."""


class OtherModelError(WeightFileError):
    """The file holds the weights of another model."""


class MissingKeysError(WeightFileError):
    """The file lacks tensors that the model needs."""


class UnexpectedKeysError(WeightFileError):
    """The file holds tensors that the model does not have."""


class WrongShapesError(WeightFileError):
    """Tensors in the file have other shapes than the model's."""


class NoFittingFileError(WeightFileError):
    """A repository holds no file that fits, or several."""


class QuantizedWeightsError(WeightFileError):
    """The file's weights are quantized in a way that cannot be read here."""


class AdapterError(WeightFileError):
    """The folder holds no adapter, or one that does not fit the weights."""


class DownloadError(WeightsError):
    """The weights could not be downloaded from the Hugging Face Hub."""


class NoTokenError(DownloadError):
    """The weights are gated and no token is set up on this machine."""


class TokenError(DownloadError):
    """The Hub does not accept the token, or the token lacks a permission."""


class AccessError(DownloadError):
    """The token's account has no access: not requested, pending or refused."""


class NoNetworkError(DownloadError):
    """The Hub could not be reached."""


class HubUnavailableError(DownloadError):
    """The Hub was reached but cannot serve the file now."""


class DiskFullError(DownloadError):
    """There is no disk space for the file."""


class CorruptDownloadError(DownloadError):
    """The hash of the downloaded file is not the one that the Hub announced."""


class NonFiniteOutputError(WeightsError):
    """The model's output is NaN or infinite: its weights are damaged or overflow."""
