"""`twistd storeapi`: the role that clients talk to."""

from twisted.application.service import ServiceMaker

storeapi = ServiceMaker(
    "twisted_store api",
    "twisted_store.api.service",
    "Take files over HTTP and keep them as chunks on storage nodes.",
    "storeapi",
)
