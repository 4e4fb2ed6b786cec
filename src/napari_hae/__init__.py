"""Human-in-the-loop automated experiments in electron microscopy, in napari."""

__version__ = "0.1.0"
