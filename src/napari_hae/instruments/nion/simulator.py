"""Nion's simulator, set up in this process and shut down again.

Import this module on the thread that is to own the simulator, with a running event
loop: the objects of the instrumentation kit are made there.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from nion.device_kit import CameraDevice, ScanDevice
from nion.instrumentation import (
    DriftTracker,
    HardwareSource,
    camera_base,
    scan_base,
)
from nion.usim_device import (
    DeviceConfiguration,
    EELSCameraSimulator,
)
from nion.usim_device import ScanDevice as SimulatedScan
from nion.utils import Geometry, Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray


def start(sample: int) -> ExitStack:
    """Register the simulated microscope; closing the result shuts it down.

    Without that the interpreter would not end: the cameras' threads are no daemons.
    """
    with ExitStack() as stack:
        stack.callback(HardwareSource.HardwareSourceManager().close)
        HardwareSource.run()
        stack.callback(HardwareSource.stop)
        DriftTracker.run()
        stack.callback(_stop_drift_tracker)
        camera_base.run(None)
        stack.callback(camera_base.stop)
        scan_base.run(None)
        stack.callback(scan_base.stop)
        # The default would make, and first remove, a folder test_data.
        configuration = DeviceConfiguration.AcquisitionContextConfiguration(
            sample_index=sample, set_configuration_location=False
        )
        _obey_the_blanker(configuration)
        configuration.run()
        stack.callback(configuration.stop)
        return stack.pop_all()


def _stop_drift_tracker() -> None:
    DriftTracker.stop()
    tracker = Registry.get_component("drift_tracker")
    if tracker is not None:
        Registry.unregister_component(tracker)


def _obey_the_blanker(configuration: Any) -> None:
    """Replace camera and scan by versions that are dark while the beam is blanked."""
    instrument = configuration.instrument
    configuration.eels_camera_device.close()
    camera = CameraDevice.Camera(
        configuration.eels_camera_device_id,
        "eels",
        "uSim EELS Camera",
        _BlankableCamera(
            instrument,
            Geometry.IntSize.make(instrument.camera_sensor_dimensions("eels")),
            instrument.counts_per_electron,
        ),
        instrument,
    )
    configuration.eels_camera_device = camera
    # This one is registered.
    configuration._eels_camera_device = camera  # noqa: SLF001
    instrument.value_manager.eels_camera = camera
    scan = configuration.scan_module
    box = SimulatedScan.ScanBoxSimulator(instrument.scan_data_generator)
    scan.device = _BlankableScan(
        scan.device.scan_device_id, scan.device.scan_device_name, instrument, box
    )
    scan.device.priority = 20


class _BlankableCamera(EELSCameraSimulator.EELSCameraSimulator):
    """Camera that obeys the blanker; Nion's simulated one sees through it."""

    def get_frame_data(self, *args: Any) -> Any:
        frame = super().get_frame_data(*args)
        return frame * 0.0 if self.instrument.value_manager.is_blanked else frame


class _BlankableScan(ScanDevice.Device):
    """Scan that obeys the blanker; Nion's ignores it and assumes square pixels."""

    def __init__(self, name: str, title: str, instrument: Any, box: Any) -> None:
        super().__init__(name, title, instrument, box)
        self._values = instrument.value_manager

    def get_scan_data(self, frame_parameters: Any, channel: Any) -> NDArray[np.float32]:
        frame_nm = frame_parameters.subscan_pixel_size_nm
        if frame_nm is None or np.isclose(frame_nm.height, frame_nm.width):
            data = super().get_scan_data(frame_parameters, channel)
        else:
            data = self._oblong_pixels(frame_parameters, channel)
        dark: NDArray[np.float32] = data * 0 if self._values.is_blanked else data
        return dark

    def _oblong_pixels(self, parameters: Any, channel: Any) -> Any:
        """Sample each pixel at its centre, as a square of a four times finer image."""
        rows, columns = parameters.subscan_pixel_size
        area = parameters.subscan_fractional_size
        fine_nm = min(area.height / rows, area.width / columns) / 4
        fine = [max(round(side / fine_nm), 1) for side in (area.height, area.width)]
        square = type(parameters)(parameters.as_dict())
        square.subscan_pixel_size = tuple(fine)
        data = super().get_scan_data(square, channel)
        at = [
            ((np.arange(number) + 0.5) * size / number).astype(int)
            for number, size in zip((rows, columns), fine, strict=True)
        ]
        return data[np.ix_(*at)]
