"""Everything that can go wrong in the trainer, as one tree.

TrainerError
├── RecipeError        a recipe's TOML is malformed or names something that does not exist
├── DataError          a data set cannot be read
│   ├── LayoutError    the folder does not have the layout of its kind
│   ├── PictureError   one image file cannot be read
│   └── EmptyClass     a class, or a class in one part of a split, holds no image
├── WeightsError       a weights file does not fit the network
├── CheckpointError    a run's checkpoint is missing, damaged or of another recipe
├── OutputError        a result cannot be written: disk full, no rights
├── DeviceError        the devices asked for are not there
├── DivergedError      the loss is no longer a finite number; the last good checkpoint stays
├── TableError         a table of the papers, or a record of a cross-validation, is missing or malformed
├── BundleError        a bundle's file is missing or malformed
└── RoundTripError     torch, ONNX and OpenVINO do not agree within the tolerance: nothing is exported
"""

from __future__ import annotations


class TrainerError(Exception):
    """Base of every error of the trainer; the message says what happened and what to do."""


class RecipeError(TrainerError):
    """A recipe is malformed."""


class DataError(TrainerError):
    """A data set cannot be read."""


class LayoutError(DataError):
    """A folder does not have the layout of its kind."""


class PictureError(DataError):
    """An image file cannot be read."""


class EmptyClass(DataError):
    """A class holds no image."""


class WeightsError(TrainerError):
    """A weights file does not fit the network."""


class CheckpointError(TrainerError):
    """A run's checkpoint cannot be used."""


class OutputError(TrainerError):
    """A result cannot be written."""


class DeviceError(TrainerError):
    """The devices asked for are not there."""


class DivergedError(TrainerError):
    """The loss is not a finite number."""


class TableError(TrainerError):
    """A table or a record of a cross-validation is missing or malformed."""


class BundleError(TrainerError):
    """A file of a bundle is missing or malformed."""


class RoundTripError(TrainerError):
    """The exported graph does not answer as the trained network does."""
