"""Archives that accept and lose, answer late, or cannot say; and destinations that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pynetdicom import evt

from node.deliver.breaker import breaker_state
from node.deliver.prover import MOST_LOSSES
from node.domain.breaker import BreakerState
from node.domain.delivery import NO_SUCH_OBJECT, ProofReply, ProofStanding
from node.domain.errors import DestinationUnavailable
from node.domain.network import Proof
from node.operate.destinations import destination_checks
from tests.station.drill_ground import DeadHost, Pacs
from tests.station.outbox_ground import BACKOFF, PACS, PATIENCE, WAITS, Outbox, make_outbox, screen, sender_to

DAY = timedelta(days=1)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = make_outbox(tmp_path / "node", (PACS,))
    yield made
    made.store.close()


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    made = Pacs()
    made.start()
    yield made
    made.stop()


def courier_to(outbox: Outbox, pacs: Pacs):
    return outbox.courier(sender_to(PACS, pacs.port, proof=Proof.COMMITMENT))


def breaker(outbox: Outbox) -> BreakerState:
    failing = outbox.store.breakers.failing(PACS)
    return breaker_state(failing, now=outbox.clock.now(), patience=PATIENCE)


def test_what_is_committed_is_delivered_in_the_same_run(outbox, pacs):
    assert courier_to(outbox, pacs).run_once(PACS) == 3

    assert outbox.states(PACS) == ["delivered"] * 3
    assert {item.proof for item in outbox.deliveries(PACS)} == {"storage commitment"}
    assert {item.answer[:5] for item in outbox.deliveries(PACS)} == {"0000H"}


def test_what_an_archive_loses_is_sent_again_once_it_is_sure(outbox, pacs):
    courier = courier_to(outbox, pacs)
    lost = outbox.deliveries(PACS)[1].sop_instance_uid
    on_asked, losing = pacs.on_asked, [lost]

    def forgetful(event: evt.Event):
        while losing:
            pacs.lose(losing.pop())
        return on_asked(event)

    pacs.on_asked = forgetful
    pacs.stop()
    pacs.start()
    courier.run_once(PACS)
    assert outbox.states(PACS) == ["delivered", "sent", "delivered"]

    courier.run_once(PACS)  # the archive may only be late to index it
    assert pacs.stored[lost] == 0
    outbox.clock.at += WAITS.grace
    courier.run_once(PACS)
    assert outbox.states(PACS) == ["delivered", "pending", "delivered"]

    outbox.clock.at = outbox.deliveries(PACS)[1].due_at
    assert courier.run_once(PACS) == 1
    assert outbox.states(PACS) == ["delivered"] * 3
    assert set(pacs.stored.values()) == {1}
    assert outbox.deliveries(PACS)[1].attempts == 2


class Liar:
    """An archive that accepts everything, and says of it what it is told to say."""

    name = PACS

    def __init__(self, standing: ProofStanding, sender) -> None:
        self.standing = standing
        self.transactions: list[tuple[str, int]] = []
        self._sender = sender
        self.unavailable = False

    def send(self, objects, *, may_leave):
        return self._sender.send(objects, may_leave=may_leave)

    def prove(self, objects, *, transaction_uid, asked):
        self.transactions.append((transaction_uid, asked))
        if self.unavailable:
            raise DestinationUnavailable("the archive closed the association")
        return [
            ProofReply(delivery_id=item.delivery_id, standing=self.standing, method="", detail="as told")
            for item in objects
        ]

    def echo(self):
        self._sender.echo()


def liar(pacs: Pacs, standing: ProofStanding) -> Liar:
    return Liar(standing, sender_to(PACS, pacs.port))


@pytest.mark.parametrize(("attempts", "times"), [(3, 3), (50, MOST_LOSSES)])
def test_an_archive_that_loses_everything_is_not_fed_for_ever(outbox, pacs, attempts, times):
    archive = liar(pacs, ProofStanding.MISSING)
    courier = outbox.courier(archive, prover=outbox.prover(replace(BACKOFF, max_attempts=attempts)))
    for _ in range(20):
        courier.run_once(PACS)
        outbox.clock.at += timedelta(minutes=10)

    assert outbox.states(PACS) == ["refused"] * 3
    assert set(pacs.stored.values()) == {times}
    assert f"accepted and not kept, {times} times" in outbox.deliveries(PACS)[0].detail


def test_who_answers_later_is_asked_again_ever_more_seldom_and_sent_nothing_twice(outbox, pacs):
    silent = liar(pacs, ProofStanding.ASKED)
    courier = outbox.courier(silent)
    waits = []
    for _ in range(9):
        courier.run_once(PACS)
        asked_at, due_at = outbox.clock.at, outbox.deliveries(PACS)[0].due_at
        outbox.clock.at = due_at - timedelta(seconds=1)
        assert courier.run_once(PACS) == 0
        assert len(silent.transactions) == len(waits) + 1
        outbox.clock.at = due_at
        waits.append(due_at - asked_at)

    assert waits == [timedelta(minutes=10 * 2**n) for n in range(8)] + [DAY]
    assert [asked for _, asked in silent.transactions] == list(range(9))
    assert len({uid for uid, _ in silent.transactions}) == 9
    assert set(pacs.stored.values()) == {1}
    assert outbox.states(PACS) == ["sent"] * 3

    late = silent.transactions[0][0]
    uids = [item.sop_instance_uid for item in outbox.deliveries(PACS)]
    assert outbox.store.proofs.committed(late, destinations=[PACS], succeeded=uids, failed={}) == 3
    assert outbox.states(PACS) == ["delivered"] * 3


@pytest.mark.parametrize("elsewhere", [False, True])
def test_no_query_overrules_an_archive_that_declines_to_keep_an_object(outbox, pacs, elsewhere):
    archive = liar(pacs, ProofStanding.ASKED if elsewhere else ProofStanding.DECLINED)
    ask, uids = archive.prove, [item.sop_instance_uid for item in outbox.deliveries(PACS)]

    def prove(objects, *, transaction_uid, asked):
        if elsewhere:  # on an association of its own, while a report is waited for here
            outbox.store.proofs.committed(
                transaction_uid, destinations=[PACS], succeeded=[], failed=dict.fromkeys(uids, 0x0119)
            )
        return ask(objects, transaction_uid=transaction_uid, asked=asked)

    archive.prove = prove
    courier = outbox.courier(archive)
    for _ in range(4 * 24):
        courier.run_once(PACS)
        outbox.clock.at += timedelta(hours=1)

    assert {asked for _, asked in archive.transactions} == {0}  # always for its commitment
    assert len(archive.transactions) <= 10  # ever more seldom
    assert (outbox.states(PACS), set(pacs.stored.values())) == (["sent"] * 3, {1})


def test_a_report_that_something_is_missing_makes_the_courier_send_it_again(outbox, pacs):
    silent = liar(pacs, ProofStanding.ASKED)
    courier = outbox.courier(silent)
    courier.run_once(PACS)
    outbox.clock.at += WAITS.grace
    uids = [item.sop_instance_uid for item in outbox.deliveries(PACS)]
    [(transaction, _)] = silent.transactions
    outbox.store.proofs.committed(
        transaction, destinations=[PACS], succeeded=uids[1:], failed={uids[0]: NO_SUCH_OBJECT}
    )
    assert outbox.states(PACS) == ["sent", "delivered", "delivered"]

    courier.run_once(PACS)
    assert outbox.states(PACS)[0] == "pending"
    outbox.clock.at += timedelta(minutes=1)
    assert courier.run_once(PACS) == 1


def test_who_can_prove_nothing_keeps_what_it_accepted_and_is_looked_at_seldom(outbox, pacs):
    mute = liar(pacs, ProofStanding.UNPROVABLE)
    courier = outbox.courier(mute)
    for _ in range(10):
        courier.run_once(PACS)
        outbox.clock.at += timedelta(hours=25)

    assert outbox.states(PACS) == ["sent"] * 3
    (check,) = destination_checks(outbox.store, [PACS], PATIENCE)
    assert (check.breaker, check.problem) == ("closed", "")
    assert check.oldest_unproven_seconds == 10 * 25 * 3600
    assert set(pacs.stored.values()) == {1}
    assert len(mute.transactions) == 5  # on days 0, 1, 2, 4 and 8
    assert {asked for _, asked in mute.transactions} == {0}
    mute.standing = ProofStanding.PROVEN  # it has learnt to answer
    outbox.clock.at += 30 * DAY
    courier.run_once(PACS)
    assert outbox.states(PACS) == ["delivered"] * 3


def test_an_archive_that_cannot_be_asked_still_gets_results(outbox, pacs, tmp_path):
    broken = liar(pacs, ProofStanding.PROVEN)
    broken.unavailable = True
    courier = outbox.courier(broken)
    for _ in range(5):
        courier.run_once(PACS)
        outbox.clock.at += timedelta(hours=1)
    assert outbox.states(PACS) == ["sent"] * 3
    assert breaker(outbox) is BreakerState.CLOSED

    screen(outbox.store, tmp_path, "2", (PACS,))
    assert courier.run_once(PACS) == 3
    broken.unavailable = False
    outbox.clock.at += DAY
    for _ in range(2):  # what was asked about equally often is asked about together
        courier.run_once(PACS)
    assert set(outbox.store.outbox.counts()) == {(PACS, "delivered")}


def test_a_dead_pacs_is_left_alone_and_a_restart_does_not_forget_it(outbox):
    dead = DeadHost()
    try:
        for _ in range(3):
            outbox.courier(sender_to(PACS, dead.port)).run_once(PACS)
        assert (breaker(outbox), dead.connections) == (BreakerState.OPEN, 3)
        restarted = outbox.courier(sender_to(PACS, dead.port))
        restarted.recover()
        restarted.run_once(PACS)
        assert dead.connections == 3

        (check,) = destination_checks(outbox.store, [PACS], PATIENCE)
        assert (check.breaker, check.failures, check.oldest_unproven_seconds) == ("open", 3, 0)
        assert check.probed_at == (outbox.clock.at + PATIENCE.first).isoformat()
        assert str(dead.port) in check.problem

        outbox.clock.at += PATIENCE.first
        restarted.run_once(PACS)
        assert (breaker(outbox), dead.connections) == (BreakerState.OPEN, 4)
        outbox.clock.at += PATIENCE.first
        restarted.run_once(PACS)
        assert dead.connections == 4  # the second pause is twice as long

        outbox.store.operations.go_live(PACS, "tester", "it is back")
        restarted.run_once(PACS)
        assert dead.connections == 5
    finally:
        dead.stop()
    assert [item.attempts for item in outbox.deliveries(PACS)] == [0] * 3


def test_a_pacs_that_comes_back_takes_one_object_first(outbox, pacs):
    pacs.stop()
    courier = courier_to(outbox, pacs)
    for _ in range(3):
        courier.run_once(PACS)
    assert breaker(outbox) is BreakerState.OPEN
    pacs.start()
    outbox.clock.at += PATIENCE.first
    pacs.associations = 0

    assert courier.run_once(PACS) == 3
    assert breaker(outbox) is BreakerState.CLOSED
    assert pacs.associations == 4  # echo, one object, the others, proof
    assert outbox.states(PACS) == ["delivered"] * 3


def test_a_pacs_that_answers_but_takes_nothing_is_left_alone_too(outbox, pacs):
    pacs.on_store = lambda _event: 0xA700
    pacs.stop()
    pacs.start()
    courier = outbox.courier(sender_to(PACS, pacs.port), backoff=replace(BACKOFF, max_attempts=50))
    for _ in range(3):
        outbox.clock.at += timedelta(minutes=1)
        courier.run_once(PACS)
    assert breaker(outbox) is BreakerState.OPEN
    outbox.clock.at += PATIENCE.first - timedelta(seconds=1)
    courier.run_once(PACS)
    assert [item.attempts for item in outbox.deliveries(PACS)] == [3, 3, 3]

    outbox.clock.at += timedelta(minutes=1)
    courier.run_once(PACS)
    assert breaker(outbox) is BreakerState.OPEN
    assert [item.attempts for item in outbox.deliveries(PACS)] == [4, 3, 3]


def test_an_object_that_a_pacs_cannot_stand_is_not_its_probe(outbox, pacs, tmp_path):
    hated, take = outbox.deliveries(PACS)[0].sop_instance_uid, pacs.on_store
    pacs.on_store = lambda event: 0xA700 if event.request.AffectedSOPInstanceUID == hated else take(event)
    pacs.stop()
    pacs.start()
    courier = outbox.courier(sender_to(PACS, pacs.port), backoff=replace(BACKOFF, max_attempts=50))
    for _ in range(4):
        courier.run_once(PACS)
        outbox.clock.at += timedelta(minutes=1)
    assert outbox.states(PACS) == ["pending", "sent", "sent"]
    assert breaker(outbox) is BreakerState.HALF_OPEN

    screen(outbox.store, tmp_path, "2", (PACS,))
    outbox.clock.at += PATIENCE.first + timedelta(minutes=5)  # now the hated one is due, too
    assert courier.run_once(PACS) == 3
    assert breaker(outbox) is BreakerState.CLOSED
