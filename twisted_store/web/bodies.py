"""Small request bodies, read whole."""

import json
from typing import Any

from twisted_store.errors import BadRequestError, TooLargeError
from twisted_store.web.request import StreamingRequest


async def read_body(request: StreamingRequest, bytes_max: int) -> bytes:
    """The body; raises `TooLargeError` beyond ``bytes_max``."""
    content = bytearray()
    if request.body is not None:
        async for piece in request.body:
            content += piece
            if len(content) > bytes_max:
                raise TooLargeError(f"This body may have at most {bytes_max} bytes.")
    return bytes(content)


async def read_json_object(request: StreamingRequest, bytes_max: int) -> dict[str, Any]:
    """The JSON object in the body; raises `BadRequestError` when it is none."""
    try:
        value = json.loads(await read_body(request, bytes_max))
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise BadRequestError("The body is not a JSON object.")
    return value
