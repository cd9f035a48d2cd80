"""The demo itself: PACS, node and scanner on loopback, until every study is settled."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from node.app import Node, SystemClock, build
from node.cli.demo.evidence import leave_evidence
from node.cli.demo.folder import DemoFolder
from node.cli.demo.narrate import Narrator
from node.cli.demo.plan import DESTINATION, LOOPBACK, NODE, PACS, SCANNER, DemoPlan, demo_settings
from node.cli.demo.summary import PHANTOM_NOTE, DemoOutcome
from node.cli.demo.watch import SETTLED, Standing, StudyView, indexed, look
from node.cli.output import counted
from node.cli.sending import FileFate, files_under, readable, send
from node.dicom.read import read_header
from node.dicom.write import write_phantom
from node.dimse.entity import Timeouts
from node.dimse.scu import Remote, StoredInstance, read_instance
from node.domain.errors import DicomError, SettingsError
from node.domain.ports import Clock
from node.imaging.phantom import ThoraxPhantom
from node.receive.sink import FolderSink

POLL_SECONDS = 0.2
PHANTOM = ThoraxPhantom(seed=3, slices=60, patches=8)
UNPLACED = ""
"""The group of files whose study cannot be read: the node says what is wrong with them."""


@dataclass(kw_only=True)
class _Times:
    """Monotonic times of one study."""

    sending: float = 0.0
    """Seconds during which its files were sent."""
    sent_at: float | None = None
    complete_at: float | None = None
    settled_at: float | None = None
    delivered_at: float | None = None


@dataclass(kw_only=True)
class _Sent:
    """What the scanner did."""

    fates: list[FileFate] = field(default_factory=list)
    times: dict[str, _Times] = field(default_factory=dict)
    """By StudyInstanceUID; a study is there when all of it was sent."""
    done: threading.Event = field(default_factory=threading.Event)
    """Set when everything was sent."""


def run_demo(plan: DemoPlan, folder: DemoFolder, narrator: Narrator) -> DemoOutcome:
    """Run the whole way, leave the evidence in the folder and return what was seen.

    Raises
    ------
    GroundglassError
        The node cannot run, or there is nothing to send.
    """
    clock = SystemClock()
    paths = _input_files(plan, folder, narrator)
    sink = FolderSink(PACS, LOOPBACK, 0, folder.received, clock=clock)
    settings = demo_settings(plan, data_dir=folder.data, pacs_port=sink.start())
    try:
        node = build(settings, progress=narrator)
        try:
            port = node.start()
            narrator.say("node", f"{NODE} on port {port} with {_model_line(node)}")
            node.store.operations.go_live(DESTINATION, by="demo", reason="the demo's own PACS")
            sent = _Sent()
            with ThreadPoolExecutor(1, thread_name_prefix="scanner") as scanner:
                scan = scanner.submit(_scan, paths, port, sent, clock, narrator)
                scan.add_done_callback(lambda _: sent.done.set())
                settled = _wait(node, plan, clock, sent, narrator)
            scan.result()
            outcome = _outcome(node, sink, sent, narrator, settled=settled)
            leave_evidence(plan, folder, outcome)
        finally:
            node.stop()
    finally:
        sink.stop()
    return outcome


def _input_files(plan: DemoPlan, folder: DemoFolder, narrator: Narrator) -> list[Path]:
    if plan.source is not None:
        paths = files_under(plan.source, without=folder.out)
        if not paths:
            raise SettingsError(f"--input {plan.source}: no file is there")
        narrator.say("input", f"{counted(len(paths), 'file', 'files')} under {plan.source}")
        return paths
    narrator.say("input", f"the thorax phantom, {len(PHANTOM)} slices. {PHANTOM_NOTE}")
    return write_phantom(folder.phantom, PHANTOM)


def _scan(paths: list[Path], port: int, sent: _Sent, clock: Clock, narrator: Narrator) -> None:
    """Send everything, one association a study, as a scanner would."""
    total = len(paths)

    def note(fate: FileFate) -> None:
        sent.fates.append(fate)
        narrator.advance("sending", len(sent.fates), total)

    remote = Remote(ae_title=NODE, host=LOOPBACK, port=port)
    for study, instances in _by_study(readable(paths, note)).items():
        start = clock.monotonic()
        send(instances, remote=remote, calling_ae_title=SCANNER, timeouts=Timeouts(), on_fate=note)
        now = clock.monotonic()
        sent.times[study] = _Times(sending=now - start, sent_at=now)
    counts = [fate.fate for fate in sent.fates]
    listed = ", ".join(f"{counts.count(fate)} {fate.value}" for fate in dict.fromkeys(counts))
    narrator.say("received", f"by C-STORE: {listed}")


def _by_study(instances: list[StoredInstance]) -> dict[str, list[StoredInstance]]:
    """Group by study; what cannot be placed goes last, so that it disturbs nobody's association."""
    groups: dict[str, list[StoredInstance]] = {}
    unplaced = []
    for instance in instances:
        try:
            study = read_header(instance.path).study_instance_uid
        except DicomError:
            unplaced.append(instance)
        else:
            groups.setdefault(study, []).append(instance)
    return groups | ({UNPLACED: unplaced} if unplaced else {})


def _wait(node: Node, plan: DemoPlan, clock: Clock, sent: _Sent, narrator: Narrator) -> bool:
    """Watch until everything was sent and every study is settled; False when the time was over before."""
    deadline: float | None = None
    pause = threading.Event()
    while True:
        everything_sent = sent.done.is_set()
        views = look(node.store)
        narrator.observe(views)
        now = clock.monotonic()
        for view in views:
            _note_times(view, sent.times.get(view.study.study_instance_uid), now)
        if everything_sent:
            if all(view.standing in SETTLED and not _comparing(node, view) for view in views):
                return True
            deadline = deadline if deadline is not None else now + plan.timeout_seconds
            if now > deadline:
                return False
        pause.wait(POLL_SECONDS)


def _comparing(node: Node, view: StudyView) -> bool:
    """Whether an object that came again has not been compared yet."""
    return node.store.studies.pending_comparisons(view.study.id) > 0


def _note_times(view: StudyView, times: _Times | None, now: float) -> None:
    if times is None:
        return
    if times.complete_at is None and all(series.verdict is not None for series in view.study.series):
        times.complete_at = now
    if times.settled_at is None and view.standing is not Standing.RECEIVING:
        times.settled_at = now
    if times.delivered_at is None and view.standing is Standing.DELIVERED:
        times.delivered_at = now


def _outcome(node: Node, sink: FolderSink, sent: _Sent, narrator: Narrator, *, settled: bool) -> DemoOutcome:
    views = look(node.store)
    return DemoOutcome(
        views=tuple(views),
        fates=tuple(sent.fates),
        indexed=frozenset(indexed(node.store, views)),
        received={read_instance(path).sop_instance_uid: path for path in sink.files()},
        seconds={view.study.id: _seconds(view, sent, narrator) for view in views},
        reasons=dict(narrator.ends),
        settled=settled,
        model=node.model,
    )


def _seconds(view: StudyView, sent: _Sent, narrator: Narrator) -> dict[str, float]:
    """Return how long each stage of a study took, in their order; a stage that it did not reach is absent."""
    times = sent.times.get(view.study.study_instance_uid, _Times())
    before = {
        "receive": times.sending,
        "complete": _between(times.sent_at, times.complete_at),
        "settle": _between(times.complete_at, times.settled_at),
    }
    after = {"deliver": _between(narrator.ended_at.get(view.study.id), times.delivered_at)}
    measured = before | narrator.seconds.get(view.study.id, {}) | after
    return {stage: seconds for stage, seconds in measured.items() if seconds is not None}


def _between(start: float | None, end: float | None) -> float | None:
    return max(end - start, 0.0) if start is not None and end is not None else None


def _model_line(node: Node) -> str:
    model = node.model
    return (
        f"model {model.name} version {model.version} ({model.status.value}), {model.engine} {model.precision}"
    )
