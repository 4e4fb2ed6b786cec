"""Connection between the plugin and a microscope served by another PC.

`server.py` and what it uses runs on the microscope's PC, `remote.py` beside this
package in the plugin. Who they are they prove to each other in `admission.py`; then
`channel.py` carries the calls, in messages of msgpack, and `wire.py` says what is in
them.
"""

PROTOCOL = 3
"""Protocol version, equal on both sides; incremented when the calls change."""

PORT = 6532
"""Default port of a server."""
