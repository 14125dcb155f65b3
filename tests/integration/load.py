"""Many clients at once that write and read files, and hold every answer against the oracle."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from tests.integration.client import (
    Answer,
    Client,
    NoAnswerError,
    NotConnectedError,
    file_path,
)
from tests.integration.oracle import File, Version

KIB, MIB = 1024, 1024 * 1024
SIZES = (0, 1, 4, 5, 700, 64 * KIB, 64 * KIB + 1, 300 * KIB, MIB, 5 * 64 * KIB, 3 * MIB)
PIECE_BYTES = 100_000
WRITERS_MAX = 16
RECONNECT_SECONDS = 0.05
DOWN_SECONDS_MAX = 30.0


class Outcomes(Counter[str]):
    """How often each request had which outcome, and how long the slowest took."""

    slowest_seconds = 0.0

    def took(self, seconds: float) -> None:
        """A request had its outcome after so long."""
        self.slowest_seconds = max(self.slowest_seconds, seconds)


class Writer:
    """The only one that changes its files; asks one thing at a time."""

    def __init__(self, number: int, files: Sequence[File], seed: int, sizes: Sequence[int]) -> None:
        self.files = files
        self.outcomes = Outcomes()
        self._sizes = sizes
        self._random = random.Random(f"{seed} writer {number}")
        self._numbers = count(number, WRITERS_MAX)

    def act(self, client: Client) -> None:
        """One request."""
        file = self._random.choice(self.files)
        action = self._random.choices([self._put, self._get, self._delete], [5, 4, 1])[0]
        action(client, file)

    def _put(self, client: Client, file: File) -> None:
        new = self._new_version()
        condition, headers = self._condition(file)
        chunked = self._random.random() < 0.4
        body = _pieces(new.content) if chunked else new.content
        answer = self._change(client, "PUT", file, new, body, headers)
        if answer is not None:
            file.put_answered(new, condition, answer)

    def _delete(self, client: Client, file: File) -> None:
        answer = self._change(client, "DELETE", file, None)
        if answer is not None:
            file.delete_answered(answer)

    def _get(self, client: Client, file: File) -> None:
        asked, headers = random_range(self._random, file)
        answer = ask(client, self.outcomes, "GET", file, headers=headers)
        if answer is not None:
            file.read_by_writer(answer, asked)

    def _change(
        self,
        client: Client,
        method: str,
        file: File,
        new: Version | None,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer | None:
        file.begin(new)
        answer = ask(client, self.outcomes, method, file, body, headers)
        if answer is None:
            file.lose_answer(new)
        return answer

    def _new_version(self) -> Version:
        return Version(next(self._numbers), self._random.choice(self._sizes))

    def _condition(self, file: File) -> tuple[str, dict[str, str]]:
        [state] = self._random.sample(sorted(file.possible, key=repr), 1)
        match self._random.randrange(5):
            case 0:
                return "*", {"If-None-Match": "*"}
            case 1 if state is not None:
                return state.etag, {"If-Match": f'"{state.etag}"'}
            case _:
                return "", {}


class Reader:
    """Reads files while their writers change them."""

    def __init__(self, files: Sequence[File], seed: int) -> None:
        self.outcomes = Outcomes()
        self._files = files
        self._random = random.Random(f"{seed} reader")

    def act(self, client: Client) -> None:
        """One request."""
        file = self._random.choice(self._files)
        moment = file.moment
        asked, headers = random_range(self._random, file)
        answer = ask(client, self.outcomes, "GET", file, headers=headers)
        if answer is not None:
            file.read_since(moment, answer, asked)


class Load:
    """Writers with files of their own, and readers of all of them."""

    def __init__(
        self,
        url: str,
        seed: int,
        *,
        writers: int,
        readers: int,
        files: int,
        sizes: Sequence[int] = SIZES,
    ) -> None:
        self._url = url
        writing = [
            Writer(number, [File(f"w{number}/ä b {file}") for file in range(files)], seed, sizes)
            for number in range(writers)
        ]
        self.files = [file for writer in writing for file in writer.files]
        reading = [Reader(self.files, seed + each) for each in range(readers)]
        self._actors: list[Writer | Reader] = [*writing, *reading]
        self._stopping = threading.Event()
        self._failures: list[BaseException] = []

    @property
    def outcomes(self) -> dict[str, int]:
        """How often each request had which outcome."""
        counters = (actor.outcomes for actor in self._actors)
        return dict(sorted(sum(counters, Counter[str]()).items()))

    @property
    def slowest_seconds(self) -> float:
        """The longest that any request took."""
        return max(actor.outcomes.slowest_seconds for actor in self._actors)

    @contextmanager
    def running(self) -> Iterator[Callable[[], None]]:
        """Until the end of the block; gives a call that raises what an actor found wrong."""
        self._stopping.clear()
        threads = [threading.Thread(target=self._run, args=(actor,)) for actor in self._actors]
        for thread in threads:
            thread.start()
        try:
            yield self._check
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()
        self._check()

    def _run(self, actor: Writer | Reader) -> None:
        try:
            with Client(self._url) as client:
                while not self._stopping.is_set():
                    actor.act(client)
        except BaseException as error:
            self._failures.append(error)

    def _check(self) -> None:
        if self._failures:
            raise self._failures[0]


def ask(
    client: Client,
    outcomes: Outcomes,
    method: str,
    file: File,
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer | None:
    """The answer, or None if the connection broke; waits while nobody listens."""
    deadline = time.monotonic() + DOWN_SECONDS_MAX
    while True:
        began = time.monotonic()
        try:
            answer = client.ask(method, file_path(file.name), body, headers)
        except NotConnectedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RECONNECT_SECONDS)
        except NoAnswerError:
            outcomes[f"{method} no answer"] += 1
            return None
        else:
            outcomes.took(time.monotonic() - began)
            outcomes[f"{method} {answer.status}"] += 1
            return answer


def random_range(chance: random.Random, file: File) -> tuple[range | None, dict[str, str]]:
    """A range to ask for, or none, and its headers."""
    largest = max((each.size_bytes for each in file.possible if each), default=0)
    if chance.random() < 0.6:
        return None, {}
    first = chance.randint(0, largest)
    asked = range(first, chance.randint(first, largest) + 1)
    return asked, {"Range": f"bytes={asked.start}-{asked.stop - 1}"}


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
