"""The settings of the surrogate model; free of torch, so that forms load fast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from napari_hae.settings_base import Settings

_WITH_DESCRIPTORS = ("residual", "classic", "none")
"""Networks that use patches and derivatives, not learned features."""
_FITTED = ("tuned", "residual", "classic")
"""Networks that are fitted during the experiment."""


class ModelSettings(Settings):
    """How the deep-kernel Gaussian process sees the sample."""

    network: Literal["transfer", "tuned", "residual", "classic", "none"] = Field(
        default="transfer", title="Network"
    )
    """transfer: features that a network learned from many simulated experiments.
    tuned: the same, with a small network on top that is fitted during the experiment.
    none: patches and derivatives of the image. residual: the same, with a small network
    on top. classic: the deep kernel of the papers, a network from these to a few
    dimensions, fitted from scratch each time (Wilson et al., AISTATS 2016). Default:
    transfer."""
    weights: Path | None = Field(
        default=None,
        title="Weights of the network",
        json_schema_extra={
            "empty": "as installed",
            "shown_if": {"network": ["transfer", "tuned"]},
        },
    )
    """File with other weights of the transfer network, as `training/pretrain.py` makes
    it. Default: those learned from simulated experiments."""
    earlier: Path | None = Field(
        default=None,
        title="Earlier run",
        json_schema_extra={"empty": "nothing"},
    )
    """File that `napari-hae learn`, or the button above, makes of an earlier run's
    record. The model then begins with what was found there in places that look alike.
    For the same kind of sample, imaged with pixels of about the same size; transfer
    network only. Default: nothing."""
    kernel: Literal["matern52", "rbf"] = Field(default="matern52", title="Kernel")
    """The covariance of the Gaussian process: Matérn 5/2 for rough functions, RBF for
    very smooth ones. Default: Matérn 5/2."""
    position_kernel: bool = Field(default=True, title="Use the position")
    """Add a kernel of the position, so that the model also interpolates in space.
    Default on."""
    patch_px: int = Field(
        default=8,
        ge=2,
        le=64,
        title="Patch size (px)",
        json_schema_extra={"shown_if": {"network": [*_WITH_DESCRIPTORS]}},
    )
    """Side of the image patch that describes each candidate, in pixels of the survey
    image, without the transfer network. Larger patches see more of the surroundings.
    Default 8."""
    components: int = Field(
        default=8,
        ge=1,
        le=32,
        title="Patch components",
        json_schema_extra={"shown_if": {"network": [*_WITH_DESCRIPTORS]}},
    )
    """How many principal components of the patches the model sees, beside derivatives
    of the image, without the transfer network. Default 8."""
    embedding_dim: int = Field(
        default=2,
        ge=1,
        le=8,
        title="Embedding dimensions",
        json_schema_extra={"shown_if": {"network": ["classic"]}},
    )
    """Dimensions that the classic network maps to. Default 2."""
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        title="Learning rate",
        json_schema_extra={
            "empty": "automatic",
            "shown_if": {"network": [*_FITTED]},
        },
    )
    """Size of the steps by which Adam fits the network, 200 of them, and its kernel;
    too large, and the fit does not settle. Default: .01 for the classic network; the
    others are fitted by L-BFGS, which chooses its steps itself."""
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", title="Compute on")
    """Where predictions are computed. auto: on a graphics card if there is one that
    torch can use. Default: auto."""

    @model_validator(mode="after")
    def _has_features_to_learn_on(self) -> Self:
        if self.earlier is not None and self.network != "transfer":
            raise ValueError(
                "an earlier run is learned from with the network 'transfer' only"
            )
        return self

    @property
    def uses_descriptors(self) -> bool:
        """Return whether it uses patches and derivatives, not learned features."""
        return self.network in _WITH_DESCRIPTORS

    @property
    def fits_network(self) -> bool:
        """Return whether a network is fitted during the experiment."""
        return self.network in _FITTED

    def without_fitted_network(self) -> Self:
        """Return the same settings, with inputs that are used directly."""
        plain = "none" if self.uses_descriptors else "transfer"
        return self.model_copy(update={"network": plain})
