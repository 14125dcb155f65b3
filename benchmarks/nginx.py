"""nginx with WebDAV as a file store, for comparison: one worker, nothing synced."""

import getpass
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.dialects import Http
from benchmarks.processes import Running, children, started

HOST = "127.0.0.1"
START_SECONDS_MAX = 10.0
HOW_TO_INSTALL = "nginx is not installed; to compare with it: apt install nginx"

CONFIGURATION = """\
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {host}:{port};
        root files;
        location / {{ dav_methods PUT; }}
    }}
}}
"""


def nginx_path() -> str | None:
    """Where nginx is, if it is; Debian puts it where only root looks."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def run_nginx(directory: Path) -> Iterator[Running]:
    """nginx with all its files under the directory."""
    path = nginx_path()
    if path is None:
        raise FileNotFoundError(HOW_TO_INSTALL)
    address = (HOST, _free_port())
    (directory / "files").mkdir()
    (directory / "nginx.conf").write_text(_configuration(*address))
    command = [path, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]
    with started(command, directory / "log") as process:
        _await_listening(address)
        yield Running(address, Http("/"), (process.pid, *children(process.pid)))


def _configuration(host: str, port: int) -> str:
    # As root it would run its worker as somebody who may not write here.
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    return CONFIGURATION.format(host=host, port=port, user=user)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _await_listening(address: tuple[str, int]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            socket.create_connection(address).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
