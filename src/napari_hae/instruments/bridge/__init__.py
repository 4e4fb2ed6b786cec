"""The line between the plugin and a microscope that another PC serves.

`server.py` and what it uses runs on the microscope's PC, `remote.py` beside this
package in the plugin. Who they are they prove to each other in `admission.py`; then
`channel.py` carries the calls, in messages of msgpack, and `wire.py` says what is in
them.
"""

PROTOCOL = 3
"""Both sides have to speak the same; counted up when the calls change."""

PORT = 6532
"""Where a server listens unless told otherwise."""
