"""Parsers under fire, for a while; and that what is broken is found."""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.fuzz.__main__ import main
from tests.fuzz.cuts import pieces_of
from tests.fuzz.fuzzer import Fuzzer, MisbehaviourError, TooSlowError, limited_time, shape
from tests.fuzz.target import Target, all_targets

TARGETS = all_targets()

EXECUTIONS = 40_000
"""For each target: about a minute of CPU for all of them."""

_CHECKSUM = struct.Struct(">I")


class RefusedError(Exception):
    """What the targets here may raise."""


def sealed(payload: bytes) -> bytes:
    """Bytes behind their checksum."""
    return _CHECKSUM.pack(zlib.crc32(payload, 0x5EED)) + payload


def reseal(raw: bytes) -> bytes:
    """The same bytes with the right checksum."""
    return sealed(raw[_CHECKSUM.size :])


def sealed_target(read: Callable[[bytes], str]) -> Target:
    """What reads bytes once their checksum is found right."""

    def take(raw: bytes) -> str:
        if len(raw) < _CHECKSUM.size or reseal(raw) != raw:
            raise RefusedError("The checksum is wrong.")
        return read(raw[_CHECKSUM.size :])

    return Target([sealed(b"\x04text and more")], take, (RefusedError,), reseal)


def careful(payload: bytes) -> str:
    """A length and so many bytes."""
    if not payload or len(payload) <= payload[0]:
        raise RefusedError(f"It ends before its {payload[:1].hex()} bytes.")
    return f"{payload[0]} bytes"


def careless(payload: bytes) -> str:
    """Reads a byte that may not be there."""
    return f"ends with {payload[payload[0]] % 2}"


def credulous(payload: bytes) -> str:
    """Accepts what is cut off, which the invariant notices."""
    text = payload[1 : 1 + payload[0]] if payload else b""
    assert bytes([len(text)]) + text == payload[: 1 + len(text)]
    return "text"


CAREFUL = sealed_target(careful)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_keeps_its_promises(name: str) -> None:
    """No input leads to another error, takes for ever, or is accepted and means something else."""
    fuzzer = Fuzzer(name, TARGETS[name], seed=1)
    fuzzer.run(EXECUTIONS)
    assert {outcome.partition(":")[0] for outcome in fuzzer.outcomes} > {"accepted"}


@pytest.mark.parametrize("name", TARGETS)
def test_the_samples_of_a_target_are_valid(name: str) -> None:
    """Whether they were repaired or not; and repairing takes any bytes."""
    target = TARGETS[name]
    for sample in target.samples:
        assert target.take(target.repair(sample)) == target.take(sample)
    for length in range(200):
        target.repair(bytes(length))
        target.repair(b"\xff" * length)


@pytest.mark.parametrize("read", [careless, credulous])
def test_a_broken_target_is_found(read: Callable[[bytes], str]) -> None:
    """Although it is broken behind a checksum; and the input that is told does it again."""
    target = sealed_target(read)
    with pytest.raises(MisbehaviourError) as caught:
        Fuzzer("broken", target, seed=1).run(EXECUTIONS)
    assert caught.value.raw.hex() in str(caught.value)
    with pytest.raises((IndexError, AssertionError)):
        target.take(caught.value.raw)


def test_nothing_gets_past_a_checksum_without_repair() -> None:
    """Which is why a target with checksums has to have one."""
    Fuzzer("broken", replace(sealed_target(careless), repair=bytes), seed=1).run(EXECUTIONS)


def test_an_error_that_was_not_declared_is_found() -> None:
    """Even one that the target raises on purpose."""
    with pytest.raises(MisbehaviourError):
        Fuzzer("undeclared", replace(CAREFUL, errors=()), seed=1).run(EXECUTIONS)


def endless() -> None:
    """Goes on for ever, and takes any error for one of its own."""
    while True:
        with suppress(Exception):
            bytes(1)


def test_what_takes_too_long_is_ended() -> None:
    """Where it stands."""
    with pytest.raises(TooSlowError), limited_time(0.05):
        endless()


def test_a_seed_determines_all_inputs() -> None:
    """So that what was found is found again."""
    seen: list[list[bytes]] = []
    for seed in (1, 1, 2):
        inputs: list[bytes] = []
        seen.append(inputs)

        def take(raw: bytes, inputs: list[bytes] = inputs) -> str:
            inputs.append(raw)
            return CAREFUL.take(raw)

        Fuzzer("careful", replace(CAREFUL, take=take), seed).run(500)
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_pieces_are_all_of_the_bytes_and_always_the_same() -> None:
    """Some inputs come byte by byte."""
    inputs = [bytes(range(length)) for length in range(200)]
    assert [b"".join(pieces_of(raw)) for raw in inputs] == inputs
    assert [pieces_of(raw) for raw in inputs] == [pieces_of(raw) for raw in inputs]
    assert any(len(pieces_of(raw)) == len(raw) for raw in inputs[50:])


def test_messages_that_differ_in_numbers_and_quotes_are_of_one_shape() -> None:
    """Or every input would be something new."""
    assert shape("Block 12 of 00ff-3 is 'x', byte 0xfe.") == "Block # of #-# is '', byte #."
    assert shape("No frame: ffffffffeeeeeeee.") == "No frame: #."


def test_the_command_tells_its_seed_and_how_far_it_came(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And ends well when all did."""
    assert main(["--seconds", "0.05", "--seed", "7"], {"careful": CAREFUL}) == 0
    seed, progress = capsys.readouterr().out.splitlines()
    assert seed == "seed 7"
    assert "executions" in progress
    assert progress.endswith(" of careful")


def test_the_command_fails_with_the_input_that_was_done_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In hex, after the error that it led to."""
    assert main(["--seconds", "60", "--seed", "7"], {"broken": sealed_target(careless)}) == 1
    *_, told = capsys.readouterr().out.splitlines()
    raw = bytes.fromhex(told.rpartition(" ")[2])
    with pytest.raises(IndexError):
        sealed_target(careless).take(raw)
