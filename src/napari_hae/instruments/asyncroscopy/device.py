"""One Tango device, with readable errors."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import (
    AcquisitionTimeout,
    InstrumentError,
    Interval,
    Unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

# Adds the extra to the napari-hae that is installed, from whatever source.
INSTALL = 'pip install "napari-hae[tango]"'

_TIMED_OUT = {"API_DeviceTimedOut", "API_CommandTimedOut"}
_UNREACHABLE = {
    "API_CantConnectToDatabase": "no Tango database answers there",
    "API_CantConnectToDevice": "it does not answer",
    "API_DeviceNotDefined": "there is no such device",
    "API_DeviceNotExported": "its device server is not running",
    "API_ServerNotRunning": "its device server is not running",
    "API_TangoHostNotSet": "no Tango host is entered, and TANGO_HOST is not set",
    "DB_DeviceNotDefined": "the database knows no such device",
}
_NOT_READY = {
    "FAULT": "reports a fault",
    "OFF": "is off",
    "INIT": "is still starting",
}


def pytango() -> Any:
    """Return PyTango, imported late.

    Raises
    ------
    Unsupported
        If it is not installed.
    """
    try:
        import tango
    except ImportError as error:
        raise Unsupported(
            f"asyncroscopy is reached through PyTango, which is missing: {INSTALL}"
        ) from error
    return tango


class Device:
    """A connection to one device. Tango runs one command of a device at a time.

    Parameters
    ----------
    address
        Its full address, or its name where TANGO_HOST says the rest.
    margin_s
        Extra time that a command may take beyond its duration.

    Raises
    ------
    Unsupported
        If PyTango is not installed.
    InstrumentError
        If it cannot be reached.
    """

    def __init__(self, address: str, margin_s: float) -> None:
        self.address = address
        self._margin_s = margin_s
        self._before: dict[str, Any] = {}
        with self._in_words("connect"):
            self._proxy = pytango().DeviceProxy(address)
            self._set_timeout(0.0)
            self._commands = {name.lower() for name in self._proxy.get_command_list()}
            self._attributes = {
                name.lower() for name in self._proxy.get_attribute_list()
            }

    def has_command(self, name: str) -> bool:
        """Return whether it has a command of that name."""
        return name.lower() in self._commands

    def has_attribute(self, name: str) -> bool:
        """Return whether it has an attribute of that name."""
        return name.lower() in self._attributes

    def argument_of(self, command: str) -> str:
        """Return the Tango type of a command's argument, `DevVoid` if it takes none."""
        with self._in_words(command):
            return str(self._proxy.command_query(command).in_type)

    def command(self, name: str, *argument: Any, lasting_s: float = 0.0) -> Any:
        """Run a command that takes a known time.

        Raises
        ------
        AcquisitionTimeout
            If it takes longer than that and the margin.
        InstrumentError
            If the device refuses it, or cannot be reached.
        """
        with self._in_words(name):
            self._set_timeout(lasting_s)
            return self._proxy.command_inout(name, *argument)

    def read(self, attribute: str) -> Any:
        """Return the value of an attribute. Raises as `command` does."""
        with self._in_words(attribute):
            return self._proxy.read_attribute(attribute).value

    def set(self, attribute: str, value: Any) -> None:
        """Set an attribute, remembering its first value. Raises as `command` does."""
        was = self.read(attribute)
        if _same(was, value):
            return
        self._before.setdefault(attribute, was)
        logger.info("%s of %s is set to %s, from %s", attribute, self, value, was)
        with self._in_words(attribute):
            self._proxy.write_attribute(attribute, value)

    def restore(self) -> None:
        """Restore the values that attributes had before the first `set`."""
        while self._before:
            attribute, was = self._before.popitem()
            with self._in_words(attribute):
                self._proxy.write_attribute(attribute, was)
            logger.info("%s of %s is %s again", attribute, self, was)

    def limits(self, attribute: str, usual: Interval) -> Interval:
        """Return the limits of an attribute; `usual` if the device gives none."""
        with self._in_words(attribute):
            said = self._proxy.get_attribute_config(attribute)
        return Interval(
            _number(said.min_value, usual.low), _number(said.max_value, usual.high)
        )

    def check_ready(self) -> None:
        """Raise `InstrumentError` if it is in a fault state, off or still starting."""
        with self._in_words("State"):
            state = str(self._proxy.state())
            if state in _NOT_READY:
                said = self._proxy.status()
                raise InstrumentError(f"{self} {_NOT_READY[state]} ({state}): {said}")

    def __str__(self) -> str:
        return self.address.removeprefix("tango://").removesuffix("#dbase=no")

    def _set_timeout(self, lasting_s: float) -> None:
        self._timeout_s = lasting_s + self._margin_s
        self._proxy.set_timeout_millis(math.ceil(1000 * self._timeout_s))

    @contextmanager
    def _in_words(self, what: str) -> Iterator[None]:
        """Convert Tango's errors to those of an instrument."""
        tango = pytango()
        try:
            yield
        except tango.DevFailed as error:
            raise self._explained(what, error) from error
        # What Tango cannot convert, for example the reply of another dialect.
        except (TypeError, ValueError) as error:
            raise InstrumentError(f"{self}, {what}: {error}") from error

    def _explained(self, what: str, error: Any) -> InstrumentError:
        reasons = [one.reason for one in error.args]
        for reason in reasons:
            if reason in _TIMED_OUT:
                return AcquisitionTimeout(
                    f"{self} did not answer {what} within {self._timeout_s:.3g} s; "
                    f"it may be busy with another command ({reason})"
                )
        for reason in reasons:
            if reason in _UNREACHABLE:
                return InstrumentError(
                    f"{self} cannot be reached: {_UNREACHABLE[reason]} ({reason})"
                )
        first = error.args[0]
        return InstrumentError(
            f"{self} refused {what}: {first.desc.strip()} "
            f"({first.reason}, from {first.origin.strip().splitlines()[0]})"
        )


def _same(was: Any, value: Any) -> bool:
    if isinstance(value, list):
        return was is not None and list(was) == value
    return bool(was == value)


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise
