"""In whose place a request's person came: what is read, when it is kept, and what happens where it cannot be."""

from cohort_store.errors import Retry
from cohort_store.hash_keys import HashKeys, MemoryHashKeys
from cohort_store.subjects import PERSON, Subject
from evaluator.reading.continuity import Continuity

FLAGS = ("f", "g")
ADA = Subject(1, PERSON, "ada")


class ReadOnlyHashKeys(MemoryHashKeys):
    """A store that takes no writes."""

    async def keep(self, subject: Subject, keys: HashKeys) -> HashKeys:
        raise Retry(f"read only: nothing of {subject} and {len(keys)} flags is kept")


async def test_without_an_anonymous_id_nothing_is_kept() -> None:
    store = MemoryHashKeys()
    assert await Continuity(store).hash_keys(1, "ada", "ada", None, FLAGS) == {}
    assert await Continuity(store).hash_keys(1, "ada", "ada", "ada", FLAGS) == {}
    assert await store.read([ADA]) == [{}]


async def test_the_first_anonymous_id_counts_from_then_on_on_every_device() -> None:
    continuity = Continuity(MemoryHashKeys())
    assert await continuity.hash_keys(1, "ada", "ada", "anon-1", FLAGS) == {"f": "anon-1", "g": "anon-1"}
    assert await continuity.hash_keys(1, "ada", "ada", "anon-2", FLAGS) == {"f": "anon-1", "g": "anon-1"}
    assert await continuity.hash_keys(1, "ada", "ada", None, FLAGS) == {"f": "anon-1", "g": "anon-1"}


async def test_a_newer_flag_gets_the_anonymous_id_of_its_time() -> None:
    continuity = Continuity(MemoryHashKeys())
    await continuity.hash_keys(1, "ada", "ada", "anon-1", ["f"])
    assert await continuity.hash_keys(1, "ada", "ada", "anon-2", FLAGS) == {"f": "anon-1", "g": "anon-2"}


async def test_every_distinct_id_of_a_person_goes_on_alike() -> None:
    continuity = Continuity(MemoryHashKeys())
    await continuity.hash_keys(1, "ada@example.com", "ada", "anon-1", ["f"])
    assert await continuity.hash_keys(1, "browser-ada", "ada", None, ["f"]) == {"f": "anon-1"}


async def test_what_was_kept_before_the_person_was_known_goes_on_counting_behind_hers() -> None:
    continuity = Continuity(MemoryHashKeys())
    await continuity.hash_keys(1, "ada@example.com", "ada@example.com", "anon-1", ["f", "g"])
    await continuity.hash_keys(1, "browser-ada", "ada", "anon-2", ["g"])
    assert await continuity.hash_keys(1, "ada@example.com", "ada", None, FLAGS) == {"f": "anon-1", "g": "anon-2"}


async def test_where_it_cannot_be_read_nobody_can_say() -> None:
    store = MemoryHashKeys()
    store.unreachable = True
    continuity = Continuity(store)
    assert await continuity.hash_keys(1, "ada", "ada", "anon-1", FLAGS) is None
    store.unreachable = False
    assert await continuity.hash_keys(1, "ada", "ada", "anon-1", FLAGS) == {"f": "anon-1", "g": "anon-1"}


async def test_where_it_cannot_be_kept_this_answer_is_right_all_the_same() -> None:
    continuity = Continuity(ReadOnlyHashKeys())
    assert await continuity.hash_keys(1, "ada", "ada", "anon-1", FLAGS) == {"f": "anon-1", "g": "anon-1"}
