"""Frame of a dock: a fixed header above a scrolling part."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

WIDTH_PX = 380
"""Largest width of docks at the side."""


def section(title: str, *widgets: QWidget, expanded: bool = True) -> QCollapsible:
    """Return a collapsible section of a dock."""
    part = QCollapsible(title)
    part.layout().setContentsMargins(0, 0, 0, 0)
    part.content().layout().setContentsMargins(8, 0, 0, 6)
    # An animation would redraw the whole dock for a quarter of a second.
    part.setDuration(0)
    for widget in widgets:
        part.addWidget(widget)
    if expanded:
        part.expand(animate=False)
    return part


def pinned(dock: QWidget, header: QWidget, *parts: QWidget) -> None:
    """Lay out a dock: the header stays, the parts scroll below it."""
    body = QWidget()
    inner = QVBoxLayout(body)
    inner.setContentsMargins(0, 0, 4, 0)
    inner.setSpacing(4)
    for part in parts:
        inner.addWidget(part)
    inner.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(body)
    outer = QVBoxLayout(dock)
    outer.setContentsMargins(6, 6, 6, 6)
    outer.addWidget(header)
    outer.addWidget(scroll, 1)
    dock.setMinimumWidth(300)
    dock.setMaximumWidth(WIDTH_PX)
