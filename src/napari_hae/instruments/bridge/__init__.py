"""The line between the plugin and a microscope that another PC serves.

`server.py` and what it uses runs on the microscope's PC, `remote.py` beside this
package in the plugin. Pyro5 carries the calls; what they carry is in `wire.py`.
"""

PROTOCOL = 2
"""Both sides have to speak the same; counted up when the calls change."""

OBJECT = "napari-hae-microscope"
"""The name of the one object that a server offers."""

PORT = 6532
"""Where a server listens unless told otherwise."""
