"""When a message was received, by a clock that is looked at later."""

import pytest

from ros_nodes.reception import Reception

MS = 1_000_000


@pytest.mark.parametrize("rate", [1.0, 0.4, 3.0])
def test_a_late_callback_is_no_delay_of_the_message(rate: float) -> None:
    """A clock at a rate of its own, as that of a simulation; callbacks of a node that was busy for 300 ms."""
    reception, begun = Reception(), 1_700_000_000_000 * MS

    def node(wall: int) -> int:
        return round((wall - begun) * rate)

    def at(received: int, taken: int) -> int:
        return reception.time(begun + received * MS, begun + taken * MS, node(begun + taken * MS))

    assert at(100, 101) == node(begun + 101 * MS)  # nothing was known before
    assert [at(ms, 500) for ms in (200, 250, 499, 500)] == pytest.approx(
        [node(begun + ms * MS) for ms in (200, 250, 499, 500)], abs=1
    )
    assert at(300, 501) == pytest.approx(node(begun + 300 * MS), abs=1)  # another topic, taken after newer ones
    assert at(700, 600) == node(begun + 600 * MS)  # clocks of threads may differ by a little
    assert at(50, 610) == node(begun + 101 * MS)  # older than all that is known


def test_where_the_middleware_does_not_say_it_or_a_clock_was_set_back_it_is_now() -> None:
    reception = Reception()
    assert reception.time(0, 10 * MS, 7) == 7
    assert reception.time(5 * MS, 20 * MS, 900 * MS) == 7  # since the first look
    assert reception.time(15 * MS, 30 * MS, 5 * MS) == 5 * MS  # the simulation began anew
    assert reception.time(0, 1 * MS, 8 * MS) == 8 * MS
