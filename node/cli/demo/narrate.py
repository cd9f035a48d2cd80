"""The demo's screen: one line when something has happened, a bar while it happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from node.cli.demo.watch import Standing, StudyView
from node.cli.output import MAX_LINE, counted, printable
from node.domain.job import Screening
from node.domain.ports import Clock
from node.domain.result import Finding, SeriesChoice
from node.domain.study import Series, SeriesState
from node.run.progress import ScreeningEnd, Stage

WIDTH = 12  # of the longest word of the first column
SPOKEN_ENDS = frozenset({ScreeningEnd.PARKED, ScreeningEnd.FAILED, ScreeningEnd.NOTHING_TO_SEND})
BARS = {Stage.SELECT: "selecting", Stage.INFER: "scoring", Stage.REPORT: "reporting"}


class Narrator:
    """Tells the demo's user what happens; a ``ProgressListener`` of the node's screenings.

    Parameters
    ----------
    console : Console
    clock : Clock
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._bars: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._said: set[tuple[str, str]] = set()
        self.seconds: dict[int, dict[str, float]] = {}
        """Per study: how long each stage of its screening took."""
        self.ends: dict[int, str] = {}
        """Per study: why its screening failed or was parked."""
        self.ended_at: dict[int, float] = {}
        """Per study: monotonic time at which its screening ended."""

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show bars for a block."""
        with self._progress:
            yield

    def say(self, word: str, text: str) -> None:
        """Print one line."""
        line = Text.assemble((f"{word:<{WIDTH}} ", "bold"), printable(text, MAX_LINE))
        self._console.print(line)

    def advance(self, name: str, done: int, total: int) -> None:
        """Move a bar; it goes when it is full."""
        with self._lock:
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(name, total=total)
            self._progress.update(self._bars[name], completed=done, total=total)
            if done >= total:
                self._progress.remove_task(self._bars.pop(name))

    def observe(self, views: Sequence[StudyView]) -> None:
        """Say what is new in the index."""
        for view in views:
            uid = view.study.study_instance_uid
            for series in view.study.series:
                self._conclude(series)
            match view.standing:
                case Standing.DELIVERED:
                    self._once(
                        uid,
                        "delivered",
                        f"{counted(len(view.deliveries), 'object', 'objects')} of study {_short(uid)}",
                    )
                case Standing.HELD:
                    self._once(uid, "held", f"study {_short(uid)}: {view.study.hold_reason}")
                case Standing.NOT_DELIVERED:
                    self._once(uid, "refused", f"a result of study {_short(uid)}; see summary.json")

    def stage_started(self, screening: Screening, stage: Stage) -> None:
        """Nothing is said before there is something to say."""

    def stage_advanced(self, screening: Screening, stage: Stage, done: int, total: int) -> None:
        """Move the stage's bar."""
        if stage in BARS:
            self.advance(f"{BARS[stage]} {_short(screening.study_instance_uid)}", done, total)

    def stage_finished(self, screening: Screening, stage: Stage, seconds: float) -> None:
        """Keep the time."""
        times = self.seconds.setdefault(screening.study_id, {})
        times[stage.value] = times.get(stage.value, 0.0) + seconds

    def decided(self, screening: Screening, finding: Finding) -> None:
        """Say what was chosen, selected, scored and decided."""
        study = _short(screening.study_instance_uid)
        for choice in finding.choices:
            self._conclude(choice)
            word = "chosen" if choice.chosen else "passed over"
            self.say(word, f"series {choice.series_number}, {choice.modality}: {choice.reason}")
        if finding.slices:
            self.say(
                "selected",
                f"{finding.selected} of {finding.received} slices ({finding.selection_rule})",
            )
        scored = sum(item.probability is not None for item in finding.slices)
        if scored:
            self.say("scored", f"{scored} slices by {finding.model.name}")
        self.say("decision", f"study {study}: {decision_line(finding)}")

    def ended(self, screening: Screening, end: ScreeningEnd, reason: str) -> None:
        """Say what went wrong, if anything did."""
        self.ended_at[screening.study_id] = self._clock.monotonic()
        if end in (ScreeningEnd.PARKED, ScreeningEnd.FAILED):
            self.ends[screening.study_id] = reason
        if end in SPOKEN_ENDS:
            self.say(
                end.value.replace("nothing-to-send", "nothing sent"),
                f"study {_short(screening.study_instance_uid)}: {reason}",
            )

    def _conclude(self, series: Series | SeriesChoice) -> None:
        """Say a series' verdict, whoever learns of it first: the watch or the screening."""
        if series.verdict is None:
            return
        word = "complete" if series.state is SeriesState.COMPLETE else "incomplete"
        count = counted(series.instance_count, "instance", "instances")
        self._once(
            f"{series.series_instance_uid} {series.instance_count}",
            word,
            f"series {series.series_number}, {series.modality}, {count} "
            f"({series.verdict.value}): {series.verdict_reason}",
        )

    def _once(self, subject: str, word: str, text: str) -> None:
        with self._lock:
            if (subject, word) in self._said:
                return
            self._said.add((subject, word))
        self.say(word, text)


def decision_line(finding: Finding) -> str:
    """Return the outcome with its numbers, on one line."""
    line = f"{finding.outcome.value.upper()}: {finding.reason}"
    if finding.ratio is not None and finding.operating_point is not None:
        point = finding.operating_point
        line += (
            f" [{finding.positive} of {finding.selected} selected slices positive = {finding.ratio:.3f}; "
            f"positive from {float(point.share):.3f} on, slices from {point.slice_threshold:g} on"
            f"{'' if point.validated else '; operating point not validated'}]"
        )
    return line


def _short(uid: str) -> str:
    return f"...{uid[-8:]}" if len(uid) > 12 else uid
