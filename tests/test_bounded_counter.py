"""Hostile names make a counter neither long nor unprintable, and no count is lost."""

from collections import Counter

from policy.robot.bounded_counter import KEYS, LENGTH, OTHERS, BoundedCounter, printable


def test_thousands_of_names_become_64_and_nothing_is_lost() -> None:
    counter = BoundedCounter()
    for i in range(2000):
        counter.add(f"joint_{i}")
        counter.add("joint_0")
    assert len(counter) == KEYS == 64
    assert counter["joint_0"] == 2001 and counter["joint_62"] == 1 and counter[OTHERS] == 2000 - 63
    assert counter.total() == 4000


def test_counts_of_another_counter_are_added() -> None:
    counter = BoundedCounter()
    counter.add("late")
    counter.update(Counter({"late": 2, "silent": 3}))
    assert dict(counter) == {"late": 3, "silent": 3}


def test_names_are_cut_and_made_printable() -> None:
    counter = BoundedCounter()
    counter.add("x" * 1_000_000)
    counter.add("a\nb\x00c\ud800")
    assert [len(name) for name in counter] == [LENGTH, 6]
    assert list(counter)[1] == "a?b?c?" and "\n".join(counter).encode()  # as a message's strings are encoded
    assert printable("open the drawer ä 箱") == "open the drawer ä 箱"
    assert printable("abcdefgh", 6) == "abc..."
