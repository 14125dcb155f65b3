"""`twistd storenode`: the role that keeps chunks on a disk."""

from twisted.application.service import ServiceMaker

storenode = ServiceMaker(
    "twisted_store node",
    "twisted_store.node.service",
    "Keep chunks on a disk and serve them to the api.",
    "storenode",
)
