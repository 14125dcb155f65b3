"""Clients that store, overwrite, delete and read, and note what they know."""

from collections.abc import Mapping
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.powerloss.histories import MACHINES, Life
from tests.powerloss.notes import VERSION_HEADER, Answered, Asked, Read, Unreadable, Version
from tests.simulation.calls import Calls
from twisted_store.node_client.body import QueuedBody

CLIENTS = 4
NAMES = tuple(f"file{number}" for number in range(7))
SIZES = [0, 4, 600, 5_000, 40_000, 300_000]
PAUSE_SECONDS = 0.3

QUIET_SECONDS = 12.0
"""In so long all is swept and reclaimed that is to be, with the ages that the tests set."""


def live(life: Life, random: Random, busy_seconds: float) -> None:
    """Quiet, busy, quiet again; in the middle a role is restarted. All is read in between."""
    clients = Clients(life, random)
    clients.rest()
    work = clients.work(busy_seconds)
    life.cluster.clock.run_for(busy_seconds / 2)
    life.restart(random.choice(MACHINES))
    life.cluster.run(work)
    clients.rest()


class Clients:
    """Several clients at once, on a few names, so that they meet."""

    def __init__(self, life: Life, random: Random) -> None:
        self._history = life.history
        self._clock: Any = life.cluster.clock
        self._log = life.log
        self._calls = Calls(life.cluster)
        self._random = random
        self._etags: dict[str, str] = {}

    def work(self, seconds: float) -> "Deferred[Any]":
        """Fires when all clients have worked so long."""
        end = self._clock.seconds() + seconds
        return gatherResults([Deferred.fromCoroutine(self._client(end)) for _ in range(CLIENTS)])

    def rest(self) -> None:
        """Read everything, do nothing for a long time, and read everything again."""
        self._read_all()
        self._clock.run_for(QUIET_SECONDS)
        self._read_all()

    def _read_all(self) -> None:
        for name in NAMES:
            answer = self._calls.get(name)
            if answer.status == 404:
                self._note(Read(name, None))
            elif answer.status == 200:
                version = self._history.versions[int(answer.header(VERSION_HEADER))]
                assert answer.body == version.content
                if all(version.chunks):  # an empty chunk is not asked for
                    self._note(Read(name, version.number))
            else:
                self._note(Unreadable(name))

    async def _client(self, end_seconds: float) -> None:
        while self._clock.seconds() < end_seconds:
            await self._pause(self._random.expovariate(1 / PAUSE_SECONDS))
            name = self._random.choice(NAMES)
            steps = [self._put, self._put_if, self._delete, self._break_off]
            [step] = self._random.choices(steps, [60, 15, 20, 5])
            await step(name)

    async def _put(self, name: str) -> None:
        await self._store(name, {})

    async def _put_if(self, name: str) -> None:
        etag = self._etags.get(name)
        await self._store(name, {"If-Match": etag} if etag else {"If-None-Match": "*"})

    async def _delete(self, name: str) -> None:
        await self._ask(name, None, self._calls.begin("DELETE", f"/files/{name}"))

    async def _break_off(self, name: str) -> None:
        """Send all but the last byte, and leave: nobody may ever see this."""
        version = self._new_version(name)
        body = QueuedBody(len(version.content) + 1)
        body.send([version.content])
        headers = {VERSION_HEADER: str(version.number)}
        call = self._calls.begin("PUT", f"/files/{name}", headers, body)
        call.addErrback(lambda _: None)
        await self._pause(PAUSE_SECONDS)
        call.cancel()

    async def _store(self, name: str, conditions: Mapping[str, str]) -> None:
        version = self._new_version(name)
        headers = {VERSION_HEADER: str(version.number), **conditions}
        sized = self._random.random() < 0.8
        call = self._calls.begin_put(name, version.content, headers, sized)
        await self._ask(name, version.number, call)

    async def _ask(self, name: str, version: int | None, call: "Deferred[Any]") -> None:
        request = len(self._history.events)
        self._note(Asked(request, name, version))
        try:
            answer = await call
        except Exception:
            return  # the api is gone, and nobody knows
        self._etags[name] = answer.header("ETag")
        if answer.status < 500:
            self._note(Answered(request, done=answer.status < 300))

    def _new_version(self, name: str) -> Version:
        number = len(self._history.versions)
        size_bytes = self._random.randint(0, self._random.choice(SIZES))
        version = Version(number, name, self._random.randbytes(size_bytes))
        self._history.versions[number] = version
        return version

    def _note(self, note: object) -> None:
        self._log.add("", note)

    async def _pause(self, seconds: float) -> None:
        await deferLater(self._clock, seconds)
