"""The store as one thing: the index, the object files and the records kept in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.dicom.codec_processes import CodecProcesses
from node.domain.codecs import CodecLimits
from node.domain.ports import Clock, UidSource
from node.store.acceptances import AcceptanceRecords
from node.store.announcements import AnnouncementRecords
from node.store.archives import ArchiveRecords
from node.store.asides import AsideRecords
from node.store.breakers import BreakerRecords
from node.store.commitments_asked import CommitmentRecords
from node.store.damage import DamageRecords
from node.store.database import Database
from node.store.intake import IntakeRecords
from node.store.judging import JudgingRecords
from node.store.matching import MatchRecords
from node.store.metadata import MetadataRecords
from node.store.object_files import LocalObjectFiles
from node.store.operations import OperationRecords
from node.store.outbox import OutboxRecords
from node.store.overrides import OverrideRecords
from node.store.promotions import PromotionRecords
from node.store.proofs import ProofRecords
from node.store.pruning import PruningRecords
from node.store.pulls import PullRecords
from node.store.retention import RetentionRecords
from node.store.scores import ScoreRecords
from node.store.screenings import ScreeningRecords
from node.store.stored_instances import StoredInstances
from node.store.studies import StudyRecords
from node.store.verification import VerificationRecords
from node.store.withdrawals import WithdrawalRecords


@dataclass(frozen=True, kw_only=True)
class Store:
    """Everything that the node keeps."""

    database: Database
    files: LocalObjectFiles
    codecs: CodecProcesses
    """Decode the pixels of the object files, apart from this process."""
    intake: IntakeRecords
    asides: AsideRecords
    studies: StudyRecords
    judging: JudgingRecords
    screenings: ScreeningRecords
    outbox: OutboxRecords
    proofs: ProofRecords
    breakers: BreakerRecords
    operations: OperationRecords
    promotions: PromotionRecords
    acceptances: AcceptanceRecords
    scores: ScoreRecords
    withdrawals: WithdrawalRecords
    overrides: OverrideRecords
    matches: MatchRecords
    announcements: AnnouncementRecords
    commitments: CommitmentRecords
    pulls: PullRecords
    archives: ArchiveRecords
    stored: StoredInstances
    metadata: MetadataRecords
    retention: RetentionRecords
    pruning: PruningRecords
    damage: DamageRecords
    verification: VerificationRecords

    def close(self) -> None:
        """Close the connections to the index, and end the processes beside this one."""
        self.codecs.close()
        self.metadata.close()
        self.database.close()


def open_store(
    root: Path,
    *,
    url: str | None = None,
    clock: Clock,
    uids: UidSource,
    codecs: CodecLimits | None = None,
    migrate: bool = True,
) -> Store:
    """Open the store under ``root``; make or migrate it where needed.

    Parameters
    ----------
    root : Path
        Folder of the store: ``objects/``, ``spool/`` and, by default, ``index.sqlite``.
    url : str, optional
        SQLAlchemy URL of the index, if it lies elsewhere.
    clock, uids : Clock, UidSource
    codecs : CodecLimits, optional
    migrate : bool
        Whether the index is created or migrated where needed; not where another process has done so.

    Raises
    ------
    StoreError
        The index cannot promise what an acknowledgement needs.
    """
    root = root.resolve()
    files = LocalObjectFiles(root, uids)
    database = Database.open(url or f"sqlite:///{root / 'index.sqlite'}", clock=clock, migrate=migrate)
    return Store(
        database=database,
        files=files,
        codecs=CodecProcesses(codecs),
        intake=IntakeRecords(database, files),
        asides=AsideRecords(database, files),
        studies=StudyRecords(database),
        judging=JudgingRecords(database),
        screenings=ScreeningRecords(database, files),
        outbox=OutboxRecords(database),
        proofs=ProofRecords(database),
        breakers=BreakerRecords(database),
        operations=OperationRecords(database),
        promotions=PromotionRecords(database),
        acceptances=AcceptanceRecords(database),
        scores=ScoreRecords(database),
        withdrawals=WithdrawalRecords(database, files),
        overrides=OverrideRecords(database),
        matches=MatchRecords(database, files),
        announcements=AnnouncementRecords(database),
        commitments=CommitmentRecords(database),
        pulls=PullRecords(database),
        archives=ArchiveRecords(database),
        stored=StoredInstances(database, files),
        metadata=MetadataRecords(database, files),
        retention=RetentionRecords(database, files),
        pruning=PruningRecords(database),
        damage=DamageRecords(database, files),
        verification=VerificationRecords(database),
    )
