"""The launcher's table of states: complete, without dead ends, and fully shown in the docs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.agents.states import LIVE, MEANING, RUNNING, TABLE, State, Trigger, follow, markdown, mermaid


def reachable(start: State) -> set[State]:
    found, new = {start}, {start}
    while new:
        new = {after for (before, _), after in TABLE.items() if before in new} - found
        found |= new
    return found


def test_the_sets_derived_from_the_table() -> None:
    assert {State.STARTING, State.READY, State.STOPPING} == RUNNING
    assert set(State) - LIVE == {State.STOPPED, State.CRASHED}
    assert set(MEANING) == set(State)


def test_every_state_is_reachable_and_leads_to_a_final_one() -> None:
    assert reachable(State.STARTING) == set(State)
    for state in State:
        assert reachable(state) & (set(State) - LIVE), state


def test_a_running_program_can_end_be_stopped_or_be_gone() -> None:
    for state in RUNNING:
        for trigger in (Trigger.STOP, Trigger.ENDED, Trigger.GONE):
            assert follow(state, trigger), (state, trigger)
    assert all(follow(state, Trigger.STOP) for state in LIVE)


def test_a_stopping_agent_never_starts_again() -> None:
    assert reachable(State.STOPPING) == {State.STOPPING, State.STOPPED}


@given(st.lists(st.sampled_from(Trigger), max_size=50))
def test_any_walk_stays_within_the_table(triggers: list[Trigger]) -> None:
    state, stopped = State.STARTING, False
    for trigger in triggers:
        after = follow(state, trigger)
        if state not in LIVE:
            assert after is None, "a final state is final"
        if after is None:
            continue
        if after is State.READY:
            assert trigger is Trigger.REPORTED_READY, "only a report of the program leads to READY"
        if after is State.STARTING:
            assert (state, trigger) == (State.RESTARTING, Trigger.DUE)
        stopped |= trigger is Trigger.STOP
        assert not (stopped and after in (State.STARTING, State.READY, State.RESTARTING))
        state = after


def test_the_docs_show_the_whole_table() -> None:
    table, diagram = markdown(), mermaid()
    for state in State:
        assert f"| `{state}` |" in table
    for (before, trigger), after in TABLE.items():
        if before is not after:
            assert f"{before} --> {after}: {trigger}" in diagram
            assert f"{trigger} → `{after}`" in table
