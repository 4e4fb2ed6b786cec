"""Where the beam may be: what people draw, and what it comes to on a field of view."""
