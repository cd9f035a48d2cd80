"""A scanner that does not give up, and what is asked of a whole node after a drill."""

from __future__ import annotations

from pathlib import Path

from node.dicom.write import PhantomLabels, write_phantom
from node.imaging.phantom import ThoraxPhantom
from tests.journey.test_killed import Scanner

ASSOCIATIONS = 4
PHANTOM = ThoraxPhantom(seed=8, slices=12, rows=128, patches=4)
VERSIONS = """
    SELECT studies.study_instance_uid, count(*), sum(result_versions.state = 'current')
    FROM studies JOIN result_versions ON result_versions.study_id = studies.id
    GROUP BY studies.id
"""
WAITING = """
    SELECT (SELECT count(*) FROM screenings WHERE state IN ('queued', 'running', 'parked')),
           (SELECT count(*) FROM deliveries WHERE state NOT IN ('delivered', 'cancelled')),
           (SELECT count(*) FROM series WHERE state = 'receiving')
"""
RUNNING = "SELECT count(*) FROM screenings WHERE state = 'running'"


class Modality:
    """The series that are to be sent, until the last slice of each was answered with success."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.unsent: list[Path] = []
        self.acknowledged: dict[str, Path] = {}
        self.studies: list[str] = []

    def scan(self) -> None:
        """Make a study."""
        number = len(self.studies)
        labels = PhantomLabels(identity=f"killed {number}", patient_id=f"K{number}")
        self.unsent += write_phantom(self._folder / str(number), PHANTOM, labels)
        self.studies.append(labels.study_instance_uid)

    def send(self, port: int) -> list[Scanner]:
        """Begin to send what is left, spread over the associations."""
        parts = [self.unsent[number::ASSOCIATIONS] for number in range(ASSOCIATIONS)]
        scanners = [Scanner(files, port) for files in parts if files]
        for scanner in scanners:
            scanner.start()
        return scanners

    def note(self, scanners: list[Scanner]) -> None:
        """Wait until the associations have ended, and note what was answered with success."""
        for scanner in scanners:
            scanner.join(timeout=60)
            assert not scanner.is_alive()
            self.acknowledged |= scanner.acknowledged
        done = set(self.acknowledged.values())
        self.unsent = [file for file in self.unsent if file not in done]
