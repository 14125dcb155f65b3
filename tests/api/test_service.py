"""The api as a service: whom it serves, and what it says of that."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.logger import capturedLogs, formatEvent

from twisted_store.api.options import ApiConfig
from twisted_store.api.service import ApiService, build
from twisted_store.coding.choice import best_coder
from twisted_store.core.durability import STRICT
from twisted_store.database import open_sqlite
from twisted_store.seams import Seams
from twisted_store.simulation.clock import SimulatedClock
from twisted_store.simulation.network import SimulatedNetwork
from twisted_store.storage.disk import OsDisk

CONFIG = ApiConfig(
    data="",
    listen=("tcp:8080",),
    secret=None,
    insecure=False,
    durability=STRICT,
    suspect_after_seconds=15.0,
    lost_after_seconds=1800.0,
    node_timeout_seconds=10.0,
    client_timeout_seconds=60.0,
    upload_memory_bytes=2**20,
    download_memory_bytes=2**20,
    object_bytes_max=None,
)


class Machine:
    """A machine that others can reach, with an api on it."""

    def __init__(self, directory: Path) -> None:
        self.clock = SimulatedClock()
        self.network = SimulatedNetwork(self.clock, Random(1))
        self._config = replace(CONFIG, data=str(directory / "api"))

    def build(self, **changes: Any) -> ApiService:
        """The api; ``changes`` are those of its config."""
        host = self.network.host("10.0.0.1")
        seams = Seams(
            clock=self.clock,
            monotonic=self.clock.seconds,
            wall=self.clock.wall_seconds,
            random=Random(2),
            listen=partial(serverFromString, host),
            agent_endpoints=host,
            run_blocking=self.clock.run_blocking,
            disk=OsDisk(),
            open_database=open_sqlite,
            coder=best_coder(),
            announce=lambda _: None,
            fatal=pytest.fail,
        )
        service = build(replace(self._config, **changes), seams)
        assert isinstance(service, ApiService)
        return service

    def stop(self, service: ApiService) -> None:
        """Stop it cleanly."""
        self.clock.run_until(maybeDeferred(service.stopService), 60)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One."""
    return Machine(tmp_path)


@pytest.mark.parametrize("secret", [None, "s3cret"])
def test_a_secret_does_not_open_the_api_to_other_machines(
    machine: Machine, secret: str | None
) -> None:
    """Clients are not asked for it; the message offers only what helps."""
    service = machine.build(secret=secret)
    with pytest.raises(SystemExit) as raised:
        service.startService()
    assert "listen on 127.0.0.1, or say --insecure" in str(raised.value)
    assert "--secret-file" not in str(raised.value)
    assert machine.network.ports == {}
    machine.stop(service)


@pytest.mark.parametrize("secret", [None, "s3cret"])
def test_an_api_that_is_open_to_all_warns(machine: Machine, secret: str | None) -> None:
    """With a secret, too."""
    service = machine.build(secret=secret, insecure=True)
    with capturedLogs() as events:
        service.startService()
    warnings = [formatEvent(each) or "" for each in events if each["log_level"].name == "warn"]
    assert [each.partition(":")[0] for each in warnings] == ["--insecure"]
    machine.stop(service)
