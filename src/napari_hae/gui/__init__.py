"""The window: the only package that depends on Qt or napari."""
