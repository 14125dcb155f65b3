"""The store on real threads."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import TypeVar, cast

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from tests.storage.bench import Bench, chunk_id, content_of, read_all, write
from twisted_store.core.durability import STRICT, Durability, DurabilityMode
from twisted_store.core.ids import ChunkId

T = TypeVar("T")

MIB = 1024 * 1024


@pytest_twisted.async_yield_fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A store whose calls run in four threads."""
    from twisted.internet import reactor

    threads = cast(IReactorFromThreads, reactor)
    pool = ThreadPool(4, 4)
    pool.start()

    def run_blocking(call: Callable[[], T], /) -> "Deferred[T]":
        return deferToThreadPool(threads, pool, call)

    bench = Bench(tmp_path / "node")
    bench.run_blocking = run_blocking
    bench.restart()
    yield bench
    await bench.store.stop()
    pool.stop()


@pytest_twisted.ensureDeferred
async def test_many_at_once_neither_lose_nor_mix_anything(bench: Bench) -> None:
    """Uploads, aborts, downloads, marks and discards of all sizes side by side."""
    random = Random(7)
    durabilities = [STRICT, Durability(DurabilityMode.RELAXED, 1)]

    async def live(number: int) -> ChunkId | None:
        """The life of one chunk; its id, if it stays."""
        chunk = chunk_id(number)
        content = content_of(random.choice([0, 1, 5000, 300_000, 3 * MIB]))
        for ending in random.choices(["abort", "discard", "keep"], k=2):
            writer = bench.store.begin(chunk, None, random.choice(durabilities))
            if ending == "abort":
                writing = Deferred.fromCoroutine(write(writer, chunk, content))
                writing.addErrback(lambda failure: None).cancel()
                await writer.abort()
                continue
            await write(writer, chunk, content)
            assert await read_all(await bench.store.open(chunk)) == content
            if ending == "discard":
                await bench.store.discard(chunk)
                continue
            await bench.store.mark(confirm=[chunk])
            return chunk
        return None

    kept = await gatherResults([Deferred.fromCoroutine(live(number)) for number in range(60)])
    confirmed = sorted(f"{chunk}.confirmed" for chunk in kept if chunk is not None)
    assert confirmed
    assert [name for name in bench.files() if name.endswith(".confirmed")] == confirmed
    used_bytes = sum(path.stat().st_size for path in bench.root.glob("chunks/*/*"))
    assert bench.store.used_bytes == used_bytes
