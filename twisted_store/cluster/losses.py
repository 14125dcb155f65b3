"""The api declares nodes lost that were away for long, unless it may be itself that is cut off."""

from dataclasses import replace

from twisted.logger import Logger

from twisted_store.cluster.member import Member
from twisted_store.cluster.members import TICK_SECONDS, Members
from twisted_store.core.membership import Presence, judge_losses
from twisted_store.core.scheme import AUTO

log = Logger()


class LossWatch:
    """``doubt`` tells why no node can be declared lost now and repair rests, if it is so."""

    def __init__(self, members: Members, lost_after_seconds: float) -> None:
        self.doubt = ""
        self._members = members
        self._lost_after_seconds = lost_after_seconds

    async def look(self) -> float:
        """Decide on all nodes; the seconds until the next time."""
        self._members.tick()
        staying = [status.member for status in self._members.status() if not status.member.lost]
        losses = judge_losses(
            [self._presence(member) for member in staying],
            self._members.suspect_after_seconds,
            self._lost_after_seconds,
            self._members.target(AUTO).losses,
        )
        if losses.doubt != self.doubt:
            log.warn("losses of nodes: {doubt}", doubt=losses.doubt or "can be told again")
        self.doubt = losses.doubt
        for node_id in sorted(losses.node_ids):
            member = self._members.get(node_id)
            # While others were made durable it may have come back, or was forgotten.
            if member is not None and self._members.objection(member):
                await self._lose(member)
        return TICK_SECONDS

    async def _lose(self, member: Member) -> None:
        reason = self._members.objection(member)
        log.warn("node {node_id} is lost: {reason}", node_id=member.peer.node_id, reason=reason)
        await self._members.save(replace(member, lost=True))

    def _presence(self, member: Member) -> Presence:
        absent_seconds = member.health.absent_seconds(self._members.now_seconds)
        return Presence(member.peer.node_id, member.zone, member.zone_named, absent_seconds)
