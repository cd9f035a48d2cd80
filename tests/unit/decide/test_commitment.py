"""Whether the node commits itself: all that may be known of an instance, against what a success means."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.decide.commitment import Decision, Step, decide
from node.domain.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    AskedInstance,
    Ground,
    InstanceFacts,
)

facts = st.builds(
    InstanceFacts,
    asked=st.just(AskedInstance(sop_class_uid="1.2", sop_instance_uid="1.2.3")),
    sop_class_uid=st.sampled_from(["1.2", "1.3"]),
    object_key=st.sampled_from([None, "key"]),
    waits_for_comparison=st.booleans(),
    set_aside=st.booleans(),
    verified=st.booleans(),
)
grounds = st.sampled_from(Ground)


@given(facts, grounds, st.booleans(), st.booleans())
def test_a_success_stands_on_verified_bytes_and_its_ground(known, ground, arrival_over, relay_over):
    step = decide(known, ground, arrival_over=arrival_over, relay_over=relay_over).step
    beyond_doubt = (
        known.object_key is not None
        and known.verified
        and known.sop_class_uid == known.asked.sop_class_uid
        and not known.set_aside
        and not known.waits_for_comparison
    )
    assert (step is Step.COMMIT) == (beyond_doubt and ground is Ground.KEEP)
    assert (step is Step.RELAY) == (beyond_doubt and ground is Ground.RELAY and not relay_over)


@given(facts, grounds)
def test_nothing_waits_for_ever(known, ground):
    decision = decide(known, ground, arrival_over=True, relay_over=True)
    assert decision.step in {Step.VERIFY, Step.COMMIT, Step.FAIL}
    assert (decision.step is Step.FAIL) == (decision.reason != 0)


def test_reasons():
    def of(**known: object) -> Decision:
        usual = {"sop_class_uid": "1.2", "object_key": "key", "verified": False}
        usual |= {"waits_for_comparison": False, "set_aside": False}
        asked = AskedInstance(sop_class_uid="1.2", sop_instance_uid="1.2.3")
        made = InstanceFacts(asked=asked, **(usual | known))
        return decide(made, Ground.RELAY, arrival_over=True, relay_over=True)

    assert of(object_key=None, sop_class_uid=None).reason == NO_SUCH_INSTANCE
    assert of(object_key=None, sop_class_uid=None, set_aside=True).reason == PROCESSING_FAILURE
    assert of(waits_for_comparison=True).reason == PROCESSING_FAILURE
    assert of(sop_class_uid="1.3").reason == CLASS_CONFLICT
    assert of(verified=True).reason == PROCESSING_FAILURE  # the archive had its time
