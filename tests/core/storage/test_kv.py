"""The conformance suite of KVStore: what every backend does alike."""

import asyncio

import pytest

from specstack.storage.kv import KVBackend
from specstack.storage.kv.base import MAX_COUNT, MAX_KEY, MAX_VALUE
from specstack_wire import SHARED, KVStore, Principal, RequestContext, Scope, StorageUnavailable
from support.services import Make, Service

ANN = Scope("acme", "ann")


async def filled(kv: KVStore, *keys: str) -> None:
    for key in keys:
        await kv.set(SHARED, key, f"v{key}")


async def names(kv: KVStore, scope: Scope = SHARED, **wanted: object) -> list[str]:
    return [item.key for item in await kv.scan(scope, **wanted)]  # type: ignore


async def test_what_is_set_is_got_until_it_is_deleted(kv: KVStore) -> None:
    assert await kv.get(SHARED, "k") is None
    await kv.set(SHARED, "k", "text")
    assert await kv.get(SHARED, "k") == b"text"
    await kv.set(SHARED, "k", b"\x00\xff")
    assert await kv.get(SHARED, "k") == b"\x00\xff"
    assert await kv.delete(SHARED, "k") is True
    assert await kv.delete(SHARED, "k") is False
    assert await kv.get(SHARED, "k") is None
    assert isinstance(kv, KVStore)


@pytest.mark.parametrize("value", [b"", b"0", b"-0", b"007", b" 7", b"9" * 30, "ü".encode()])
async def test_values_come_back_byte_for_byte(kv: KVStore, value: bytes) -> None:
    await kv.set(SHARED, "k", value)
    assert await kv.get(SHARED, "k") == value
    assert await kv.compare_and_set(SHARED, "k", value, b"next")


async def test_tenants_owners_and_namespaces_are_apart(kv: KVStore) -> None:
    places = [
        (kv, SHARED),
        (kv, Scope("acme", "")),
        (kv, Scope("", "acme")),
        (kv, ANN),
        (kv, Scope("acme", "bob")),
        (kv, Scope("acme:ann", "")),
        (kv, Scope("acme/ann", "{}")),
        (kv.namespace("a"), SHARED),
        (kv.namespace("a").namespace("b"), SHARED),
        (kv.namespace("b"), SHARED),
    ]
    for index, (store, scope) in enumerate(places):
        assert await store.get(scope, "k") is None
        await store.set(scope, "k", str(index))
    for index, (store, scope) in enumerate(places):
        assert [item.value for item in await store.scan(scope)] == [str(index).encode()]
        assert await store.delete(scope, "k")


def test_a_scope_is_the_callers() -> None:
    ctx = RequestContext(request_id="r", tenant="acme", principal=Principal("ann"))
    assert Scope.of(ctx) == ANN
    assert Scope.of(RequestContext(request_id="r")) == SHARED


async def test_scans_are_in_the_order_of_keys(kv: KVStore) -> None:
    keys = ["b", "a", "a/1", "a/2", "a0", "B", "ä", "z", "\U0001f600", "￿", "a b", "[", "(", "-", "+", "\\"]
    await filled(kv, *keys)
    assert await names(kv) == sorted(keys)
    assert (await kv.scan(SHARED, prefix="a/2"))[0] == ("a/2", b"va/2")


async def test_scans_take_prefix_bounds_page_and_limit(kv: KVStore) -> None:
    await filled(kv, "a", "a/1", "a/2", "a/3", "b", "b/1")
    assert await names(kv, prefix="a/") == ["a/1", "a/2", "a/3"]
    assert await names(kv, start="a/2") == ["a/2", "a/3", "b", "b/1"]
    assert await names(kv, start="a/2", end="b") == ["a/2", "a/3"]
    assert await names(kv, prefix="a/", limit=2) == ["a/1", "a/2"]
    assert await names(kv, prefix="a/", after="a/1", limit=1) == ["a/2"]
    assert await names(kv, prefix="a/", after="a/3") == []
    assert await names(kv, prefix="b", after="a/2") == ["b", "b/1"]
    assert await names(kv, start="b", end="a") == []
    assert await names(kv, prefix="zz") == []


async def test_a_prefix_that_ends_with_the_last_character_of_a_range(kv: KVStore) -> None:
    await filled(kv, "x\ud7ff1", "x\ue000", "y\U0010ffff", "y\U0010ffffz", "z")
    assert await names(kv, prefix="x\ud7ff") == ["x\ud7ff1"]
    assert await names(kv, prefix="y\U0010ffff") == ["y\U0010ffff", "y\U0010ffffz"]
    assert await names(kv, prefix="\U0010ffff") == []


async def test_more_entries_than_a_page_of_any_backend(kv: KVStore) -> None:
    keys = [f"{index:05}" for index in range(1203)]
    for start in range(0, len(keys), 100):
        await asyncio.gather(*(kv.set(SHARED, key, key) for key in keys[start : start + 100]))
    assert await names(kv) == keys
    assert await names(kv, limit=1001) == keys[:1001]


async def test_entries_expire(kv: KVStore) -> None:
    await kv.set(SHARED, "brief", "1", ttl=0.3)
    await kv.set(SHARED, "long", "1", ttl=60)
    assert await names(kv) == ["brief", "long"]
    await asyncio.sleep(0.5)
    assert await kv.get(SHARED, "brief") is None
    assert await names(kv) == ["long"]
    assert await kv.delete(SHARED, "brief") is False
    assert await kv.compare_and_set(SHARED, "brief", None, "2")
    assert await names(kv) == ["brief", "long"]


async def test_a_new_value_has_its_own_time_to_live(kv: KVStore) -> None:
    await kv.set(SHARED, "kept", "1", ttl=0.2)
    await kv.set(SHARED, "kept", "2")
    await kv.set(SHARED, "swapped", "1", ttl=0.2)
    assert await kv.compare_and_set(SHARED, "swapped", "1", "2")
    await kv.set(SHARED, "ended", "1")
    await kv.set(SHARED, "ended", "2", ttl=0.2)
    await asyncio.sleep(0.4)
    await kv.set(SHARED, "other", "1", ttl=9)
    assert await names(kv) == ["kept", "other", "swapped"]


async def test_counters(kv: KVStore) -> None:
    assert await kv.incr(SHARED, "c") == 1
    assert await kv.incr(SHARED, "c", 41) == 42
    assert await kv.get(SHARED, "c") == b"42"
    assert await kv.incr(SHARED, "c", -50) == -8
    assert await names(kv) == ["c"]
    await kv.set(SHARED, "c", "7")
    assert await kv.incr(SHARED, "c") == 8
    assert await kv.compare_and_set(SHARED, "c", "8", "9")
    assert await kv.incr(ANN, "c", 0) == 0


async def test_a_counters_window_is_fixed_when_it_is_made(kv: KVStore) -> None:
    assert await kv.incr(SHARED, "c", ttl=0.6) == 1
    await asyncio.sleep(0.3)
    assert await kv.incr(SHARED, "c", ttl=0.6) == 2
    await asyncio.sleep(0.4)
    assert await kv.incr(SHARED, "c", 5, ttl=0.6) == 5


@pytest.mark.parametrize("value", ["", "x", "1.5", " 1", "007", "9" * 30, b"\xff"])
async def test_what_is_no_integer_cannot_be_counted(kv: KVStore, value: str | bytes) -> None:
    await kv.set(SHARED, "c", value)
    with pytest.raises(ValueError, match="is no integer of 64 bits"):
        await kv.incr(SHARED, "c")
    assert await kv.get(SHARED, "c") == (value.encode() if isinstance(value, str) else value)


async def test_counters_end_at_64_bits(kv: KVStore) -> None:
    assert await kv.incr(SHARED, "c", MAX_COUNT) == MAX_COUNT
    with pytest.raises(ValueError, match="or would leave them"):
        await kv.incr(SHARED, "c")
    assert await kv.incr(SHARED, "c", -MAX_COUNT) == 0
    assert await kv.incr(SHARED, "c", -MAX_COUNT) == -MAX_COUNT
    with pytest.raises(ValueError, match="or would leave them"):
        await kv.incr(SHARED, "c", -2)


async def test_compare_and_set(kv: KVStore) -> None:
    assert not await kv.compare_and_set(SHARED, "k", "old", "new")
    assert await kv.compare_and_set(SHARED, "k", None, "one")
    assert not await kv.compare_and_set(SHARED, "k", None, "two")
    assert not await kv.compare_and_set(SHARED, "k", "two", "three")
    assert await kv.compare_and_set(SHARED, "k", "one", "two", ttl=60)
    assert not await kv.compare_and_set(SHARED, "k", "one", None)
    assert await kv.compare_and_set(SHARED, "k", b"two", None)
    assert await kv.get(SHARED, "k") is None
    assert await kv.compare_and_set(SHARED, "k", None, None)
    assert await names(kv) == []


async def test_fifty_writers_at_once_lose_nothing(make: Make, kv: KVStore) -> None:
    async def work(number: int) -> None:
        for step in range(4):
            await kv.incr(SHARED, "all")
            await kv.set(SHARED, f"{number}/{step}", str(step))

    await asyncio.gather(*(work(number) for number in range(50)))
    assert await kv.get(SHARED, "all") == b"200"
    assert len(await kv.scan(SHARED, limit=500)) == 201


async def test_of_all_who_compare_one_wins(kv: KVStore) -> None:
    won = await asyncio.gather(*(kv.compare_and_set(SHARED, "k", None, str(one)) for one in range(30)))
    assert sum(won) == 1
    assert await kv.get(SHARED, "k") == str(won.index(True)).encode()


async def test_other_connections_see_it_and_count_with_it(make: Make, backend: KVBackend) -> None:
    others = [make() for _ in range(3)]
    name = f"test {id(backend)} {asyncio.get_running_loop().time()}"
    stores = [one.namespace(name) for one in (backend, *others)]
    await asyncio.gather(*(stores[index % 4].incr(SHARED, "c") for index in range(80)))
    assert [await one.get(SHARED, "c") for one in stores] == [b"80"] * 4
    for one in others:
        await one.aclose()
        await one.aclose()


async def test_a_large_value_and_a_long_key(kv: KVStore) -> None:
    key, value = "ü" * (MAX_KEY // 2), bytes(range(256)) * (MAX_VALUE // 256)
    longest = Scope("t" * 255, "o" * 255)
    await kv.set(longest, key, value)
    assert await kv.get(longest, key) == value
    assert await kv.compare_and_set(longest, key, value, "small")


async def test_what_is_closed_opens_again(backend: KVBackend, kv: KVStore) -> None:
    await kv.set(SHARED, "k", "v")
    await backend.aclose()
    assert await kv.get(SHARED, "k") == b"v"


async def test_a_restarted_server_is_found_again(service: Service | None, kv: KVStore) -> None:
    if service is None:
        pytest.skip("this backend has no server that the suite could restart")
    await asyncio.gather(*(kv.incr(SHARED, "c") for _ in range(8)))
    await asyncio.to_thread(service.stop)
    try:
        with pytest.raises(StorageUnavailable, match="does not answer as it should"):
            await kv.incr(SHARED, "c")
    finally:
        await asyncio.to_thread(service.start)
    assert await kv.incr(SHARED, "c") == 9
    await asyncio.gather(*(kv.set(SHARED, str(one), "v") for one in range(8)))


BAD_KEYS = ["", "a\0b", "\ud800", "x" * (MAX_KEY + 1)]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_keys_that_no_backend_takes(kv: KVStore, key: str) -> None:
    for call in (
        kv.get(SHARED, key),
        kv.set(SHARED, key, ""),
        kv.delete(SHARED, key),
        kv.incr(SHARED, key),
        kv.compare_and_set(SHARED, key, None, ""),
    ):
        with pytest.raises(ValueError, match="key: "):
            await call


async def test_arguments_that_no_backend_takes(kv: KVStore) -> None:
    for ttl in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a time to live"):
            await kv.set(SHARED, "k", "v", ttl=ttl)
    with pytest.raises(ValueError, match="a limit"):
        await kv.scan(SHARED, limit=0)
    with pytest.raises(ValueError, match="a value"):
        await kv.set(SHARED, "k", bytes(MAX_VALUE + 1))
    with pytest.raises(ValueError, match="64 bits"):
        await kv.incr(SHARED, "k", 2**63)
    with pytest.raises(ValueError, match="tenant: "):
        await kv.get(Scope("x" * 256, ""), "k")
    with pytest.raises(ValueError, match="owner: "):
        await kv.get(Scope("", "\0"), "k")
    for name in ("", "a/b", "x" * 256):
        with pytest.raises(ValueError, match="namespace"):
            kv.namespace(name)
