"""The settings of the surrogate model; light, so that forms need no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_hae.settings_base import Settings


class ModelSettings(Settings):
    """How the deep-kernel Gaussian process sees the sample."""

    patch_px: int = Field(default=8, ge=2, le=64, title="Patch size (px)")
    """Side of the image patch that describes each candidate, in pixels of the survey
    image. Larger patches see more of the surroundings. Default 8."""
    components: int = Field(default=8, ge=1, le=32, title="Patch components")
    """How many principal components of the patches the model sees, beside derivatives
    of the image. Default 8."""
    network: Literal["residual", "classic", "none"] = Field(
        default="residual", title="Network"
    )
    """residual: a small network that adds to the descriptors and can shrink to nothing.
    classic: the deep kernel of the papers, a network to a few dimensions, fitted from
    scratch each time (Wilson et al., AISTATS 2016). none: no network. Default:
    residual."""
    kernel: Literal["matern52", "rbf"] = Field(default="matern52", title="Kernel")
    """The covariance of the Gaussian process: Matérn 5/2 for rough functions, RBF for
    very smooth ones. Default: Matérn 5/2."""
    embedding_dim: int = Field(default=2, ge=1, le=8, title="Embedding dimensions")
    """Dimensions that the classic network maps to. Default 2."""
    position_kernel: bool = Field(default=True, title="Use the position")
    """Add a kernel of the position, so that the model also interpolates in space.
    Default on."""
