"""The window: the only place that knows Qt or napari."""
