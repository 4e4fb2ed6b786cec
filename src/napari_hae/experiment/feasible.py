"""Check that an instrument, and this computer, can do what the settings require."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.instruments.base import (
    InstrumentError,
    check_interval,
    check_shape,
)
from napari_hae.instruments.delivered import check_stated

if TYPE_CHECKING:
    from napari_hae.agent.model_settings import ModelSettings
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import EnergyAxis


def check_feasible(
    settings: ExperimentSettings, able: Capabilities, energy: EnergyAxis | None
) -> None:
    """Refuse settings that would end a run at its next exposure, with the reason.

    Parameters
    ----------
    energy
        Energy axis of the run's spectra; None before the first.

    Raises
    ------
    ValueError
        If exposure, dwell time or detector is not available.
    """
    measurement, dwell_time_s = settings.measurement, settings.drift.dwell_time_s
    try:
        check_interval("an exposure", measurement.exposure_s, able.exposure_s, "s")
        if dwell_time_s is not None:
            check_interval("a dwell time", dwell_time_s, able.dwell_time_s, "s")
        detector = able.spectrum_detector(measurement.detector)
    except InstrumentError as error:
        raise ValueError(str(error)) from error
    if energy not in (None, detector.energy):
        raise ValueError(
            f"the detector {detector.name!r} has another energy axis than the run's "
            "spectra: choose it before a run"
        )


def put_back(settings: ExperimentSettings, able: Capabilities) -> dict[str, Any]:
    """Return replacements for sections with values impossible for an instrument.

    Such values may be left from another instrument. Empty if all are possible.
    """
    measurement, scalarizer = settings.measurement, settings.scalarizer
    fields: dict[str, Any] = {}
    if all(measurement.detector != each.name for each in able.spectrum_detectors):
        fields["detector"] = ""
    if measurement.exposure_s not in able.exposure_s:
        usual_s = type(measurement)().exposure_s
        allowed = able.exposure_s
        fields["exposure_s"] = min(max(usual_s, allowed.low), allowed.high)
    changed: dict[str, Any] = {}
    measured = measurement.model_copy(update=fields)
    if measured != measurement:
        changed["measurement"] = measured
    if isinstance(scalarizer, BandScalarizer) and not scalarizer.is_automatic:
        try:
            scalarizer.check(able.spectrum_detector(measured.detector).energy)
        except ValueError:
            changed["scalarizer"] = scalarizer.with_band(None, None)
    return changed


def preflight(settings: ExperimentSettings, instrument: GuardedInstrument) -> None:
    """Refuse settings that would end a run before its first spectrum, with the reason.

    Called before any exposure, and before the record is created.

    Raises
    ------
    ValueError
        If the instrument, or this computer, cannot do what the settings ask for.
    InstrumentError
        If the instrument does not answer, or reports impossible properties.
    """
    able = instrument.capabilities()
    check_stated(able, f"{instrument.title} says")
    check_feasible(settings, able, None)
    check_computable(settings.model)
    _check_survey(settings, able)
    limits, scalarizer = settings.budget.dose_limits, settings.scalarizer
    refusal = instrument.refusal_of_limits(limits)
    if able.current_pa is None and refusal is not None:
        raise ValueError(refusal)
    if not scalarizer.is_automatic:
        energy = able.spectrum_detector(settings.measurement.detector).energy
        scalarizer.check(energy)


def _check_survey(settings: ExperimentSettings, able: Capabilities) -> None:
    wanted = settings.survey
    if unknown := set(wanted.detectors or ()) - set(able.survey_detectors):
        raise ValueError(
            f"there is no detector {', '.join(sorted(unknown))} for survey images; "
            f"there are {', '.join(able.survey_detectors)}"
        )
    try:
        check_shape(wanted.shape or able.survey_shape, able)
        check_interval("a dwell time", wanted.dwell_time_s, able.dwell_time_s, "s")
    except InstrumentError as error:
        raise ValueError(str(error)) from error


def check_computable(model: ModelSettings) -> None:
    """Refuse a model that cannot be computed here.

    Raises
    ------
    ValueError
        If there is no such graphics card, or the file of weights does not serve.
    """
    # The model's libraries take seconds to load: only if needed.
    if model.device == "cuda":
        from napari_hae.agent.surrogate import device_of

        device_of(model)
    if model.weights is not None:
        from napari_hae.agent.embedding import load_network

        load_network(model.weights)
