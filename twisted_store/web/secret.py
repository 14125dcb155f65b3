"""The secret that api and nodes share (RFC 6750 section 2.1)."""

import hmac

from twisted_store.errors import UnauthorizedError
from twisted_store.web.request import StreamingRequest


def secret_headers(secret: str | None) -> dict[str, str]:
    """The headers of a call between api and node."""
    return {} if secret is None else {"Authorization": f"Bearer {secret}"}


def require_secret(request: StreamingRequest, secret: str | None) -> None:
    """Raise `UnauthorizedError` unless the call carries the secret, where there is one."""
    if secret is None:
        return
    given = request.requestHeaders.getRawHeaders(b"Authorization", [b""])[0]
    if not hmac.compare_digest(given, f"Bearer {secret}".encode()):
        raise UnauthorizedError("This call needs the cluster's secret (--secret-file).")
