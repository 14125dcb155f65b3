"""The upload and the download of the first system."""

from pathlib import Path

from tests.simulation.calls import Calls
from twisted_store.core.striping import DATA_CHUNKS
from twisted_store.node_client.body import QueuedBody
from twisted_store.simulation.cluster import SimulatedCluster

FORM = (
    b"--XX\r\n"
    b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\nX-Meta-Colour: blue\r\n\r\n"
    b"content\r\n--XX--\r\n"
)


def test_a_form_leaves_its_file_and_not_its_own_headers(tmp_path: Path) -> None:
    """The part's disposition places it in the form; sent with the file it would mean nothing."""
    with SimulatedCluster(tmp_path, seed=1, nodes=DATA_CHUNKS) as cluster:
        calls = Calls(cluster)
        body = QueuedBody(len(FORM))
        body.send([FORM])
        body.end()
        headers = {"Content-Type": "multipart/form-data; boundary=XX"}
        assert calls.wait(calls.begin("PUT", "/", headers, body)).status == 201
        for target in ("/?id=a.txt", "/files/a.txt"):
            answer = calls.call("GET", target)
            assert answer.body == b"content"
            assert answer.header("Content-Type") == "text/plain"
            assert answer.header("X-Meta-Colour") == "blue"
            assert not answer.headers.hasHeader("Content-Disposition")
