"""The command `serve`: offer a microscope to the instrument `remote` elsewhere."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from napari_hae import plugins
from napari_hae.cli.exit_codes import DONE
from napari_hae.cli.output import log_to_stderr
from napari_hae.cli.sections import given_sections
from napari_hae.cli.stopping import Stopping
from napari_hae.instruments.bridge import token

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from pydantic import BaseModel

    from napari_hae.instruments.bridge.server import Server

LOOPBACK = "127.0.0.1"
WATCHDOG_S = 5.0

logger = logging.getLogger(__name__)


def serve(options: argparse.Namespace) -> int:
    """Run a server until a signal ends it."""
    from napari_hae.instruments.bridge.server import Server, is_loopback

    settings = _instrument_settings(options)
    instrument = plugins.load(plugins.INSTRUMENTS, options.instrument)
    _log_with_times()
    secret = _secret(options.token_file)
    server = Server(
        lambda: instrument(settings),
        instrument.title,
        options.host,
        options.port,
        secret,
        options.watchdog,
    )
    if not is_loopback(options.host):
        _warn_of_network(server.address)
    with Stopping() as stopping:
        return stopping.run(lambda: _serve(server, options.instrument, stopping))


def _serve(server: Server, name: str, stopping: Stopping) -> int:
    """Serve until the program is ended, also by closing its terminal."""
    is_over = threading.Event()

    def end(signal_name: str) -> None:
        logger.info("ending: %s", signal_name)
        is_over.set()

    def end_before_it_serves(signal_name: str) -> None:
        end(signal_name)
        server.abort()

    stopping.reach(end_before_it_serves, server.abort)
    logger.info("connecting %s once, to see that it works", name)
    server.start()
    stopping.reach(end, server.abort)
    logger.info("%s is served at %s", name, server.address)
    try:
        is_over.wait()
    finally:
        server.stop()
        logger.info("the server has ended: blanked and disconnected")
    return DONE


def _instrument_settings(options: argparse.Namespace) -> BaseModel:
    from napari_hae.experiment.configuration import instrument_settings
    from napari_hae.experiment.known_settings import INSTRUMENT

    return instrument_settings(
        options.instrument, given_sections(options).get(INSTRUMENT, {})
    )


def _secret(file: Path | None) -> str:
    """Return the token: from the file, from the environment, or newly generated."""
    if file is not None and file.exists():
        logger.info("the token is the one in %s", file)
        return token.from_file(file)
    if file is not None:
        secret = token.made_up()
        token.write(file, secret)
        logger.info("a new token is in %s", file)
        return secret
    given = token.from_environment()
    if given is not None:
        logger.info("the token is the one in the variable %s", token.VARIABLE)
        return given
    secret = token.made_up()
    # Not logged: logs may be stored.
    print(f"token: {secret}", flush=True)
    return secret


def _warn_of_network(address: str) -> None:
    logger.warning(
        "LISTENING AT %s: other PCs reach this server, and all data cross the network "
        "unencrypted. Leave --host out, and use an SSH tunnel "
        "instead: ssh -L %s:127.0.0.1:%s USER@THIS-PC",
        address,
        *[address.rpartition(":")[2]] * 2,
    )


def _log_with_times() -> None:
    log_to_stderr("%(asctime)s  %(message)s", is_new=True)
    logging.getLogger("napari_hae").setLevel(logging.INFO)
