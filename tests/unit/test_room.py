"""Who finds a place, and who gives way, when requests or the bytes of their bodies are too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.room import Full, Place, Room


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await story()

    asyncio.run(run())


def entered(room: Room, *, always: bool = False) -> Place:
    place = room.enter(always=always)
    assert place is not None
    return place


async def arrive(room: Room, place: Place, whole: asyncio.Event, size: int = 0, within: float = 5.0) -> str:
    """What becomes of a body whose `size` bytes come at once, and whose end when `whole` is set."""
    try:
        async with room.arriving(place, within):
            room.hold(place, size)
            await whole.wait()
    except Full:
        return "pushed out"
    except TimeoutError:
        return "too slow"
    finally:
        room.leave(place)
    return "whole"


async def begun(room: Room, whole: asyncio.Event, size: int = 0, within: float = 5.0) -> asyncio.Task[str]:
    task = asyncio.create_task(arrive(room, entered(room), whole, size, within))
    await asyncio.sleep(0)
    return task


def test_when_it_is_full_a_newcomer_finds_no_place_until_one_leaves() -> None:
    room = Room(requests=2)
    first, _ = entered(room), entered(room)
    assert room.enter() is None
    room.leave(first)
    room.leave(first)  # more than once is no harm
    assert room.enter() is not None
    assert room.enter() is None


def test_health_finds_a_place_whatever_the_load() -> None:
    room = Room(requests=1)
    entered(room)
    assert entered(room, always=True)


def test_the_body_that_has_been_arriving_longest_gives_way_to_the_newcomer() -> None:
    async def story() -> None:
        room, whole = Room(requests=3), asyncio.Event()
        entered(room)  # its body has arrived: it stays
        first, second = await begun(room, whole), await begun(room, whole)
        third = await begun(room, whole)
        assert await first == "pushed out"
        fourth = await begun(room, whole)
        assert await second == "pushed out"
        whole.set()
        assert (await third, await fourth) == ("whole", "whole")

    play(story)


def test_only_bodies_on_their_way_give_way() -> None:
    async def story() -> None:
        room, whole = Room(requests=1), asyncio.Event()
        place = entered(room)
        async with room.arriving(place, 5):
            pass
        assert room.enter() is None  # it waits for Kafka: what is inside is answered
        room.leave(place)
        assert await begun(room, whole)

    play(story)


def test_a_body_that_does_not_arrive_in_time_is_slow_and_not_pushed_out() -> None:
    async def story() -> None:
        room, whole = Room(), asyncio.Event()
        assert await (await begun(room, whole, within=0.01)) == "too slow"

    play(story)


def test_beyond_the_bytes_the_body_that_has_been_arriving_longest_gives_way() -> None:
    async def story() -> None:
        room, whole = Room(size=100), asyncio.Event()
        first, second = await begun(room, whole, 40), await begun(room, whole, 60)
        third = await begun(room, whole, 30)
        assert await first == "pushed out"
        assert not second.done()
        fourth = await begun(room, whole, 70)  # the second makes room enough
        assert await second == "pushed out"
        whole.set()
        assert (await third, await fourth) == ("whole", "whole")

    play(story)


def test_a_body_that_outgrows_the_bytes_by_itself_is_not_let_in() -> None:
    async def story() -> None:
        room, whole = Room(size=100), asyncio.Event()
        whole.set()
        assert await (await begun(room, whole, 101)) == "pushed out"
        assert await (await begun(room, whole, 100)) == "whole"  # and nothing of the other is counted

    play(story)


def test_bytes_count_until_the_answer_and_those_of_whole_bodies_stay() -> None:
    async def story() -> None:
        room, whole = Room(size=100), asyncio.Event()
        whole.set()
        waiting_for_kafka = entered(room)
        async with room.arriving(waiting_for_kafka, 5):
            room.hold(waiting_for_kafka, 80)
        assert await (await begun(room, whole, 30)) == "pushed out"
        room.leave(waiting_for_kafka)
        assert await (await begun(room, whole, 30)) == "whole"

    play(story)


def test_bytes_that_are_thrown_away_are_given_back() -> None:
    async def story() -> None:
        room, whole = Room(size=100), asyncio.Event()
        place = entered(room)
        async with room.arriving(place, 5):
            room.hold(place, 90)
            room.hold(place, -90)
            whole.set()
            assert await (await begun(room, whole, 100)) == "whole"

    play(story)


def test_who_was_pushed_out_can_hold_nothing_more() -> None:
    async def story() -> None:
        room = Room(requests=1, size=100)
        place = entered(room)
        with pytest.raises(Full):
            async with room.arriving(place, 5):
                entered(room)
                room.hold(place, 1)
        whole = asyncio.Event()
        whole.set()
        assert await arrive(room, entered(room, always=True), whole, 100) == "whole"

    play(story)
