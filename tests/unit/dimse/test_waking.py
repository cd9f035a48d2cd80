from __future__ import annotations

import threading

from pynetdicom.pdu_primitives import A_ABORT, P_DATA

from node.dimse.waking import MOST_WAITING, OutgoingQueue

DEADLINE = 30.0


def test_data_wait_until_others_have_gone_out():
    outgoing, most = OutgoingQueue(lambda: None), 0

    def hand_over():
        for _ in range(4 * MOST_WAITING):
            outgoing.put(P_DATA())

    sender = threading.Thread(target=hand_over)
    sender.start()
    for _ in range(4 * MOST_WAITING):
        most = max(most, outgoing.qsize())
        outgoing.get(timeout=DEADLINE)
    sender.join(DEADLINE)
    assert not sender.is_alive()
    assert most <= MOST_WAITING


def test_an_abort_waits_for_no_data_and_the_end_for_nobody():
    outgoing = OutgoingQueue(lambda: None)
    for _ in range(MOST_WAITING):
        outgoing.put(P_DATA())
    outgoing.put(A_ABORT())
    sender = threading.Thread(target=outgoing.put, args=(P_DATA(),))
    sender.start()
    outgoing.end()
    sender.join(DEADLINE)
    assert not sender.is_alive()
    assert outgoing.qsize() == MOST_WAITING + 2
