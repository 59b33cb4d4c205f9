"""What a walk to the head asks a node for."""

from collections.abc import Sequence

from chains.ethereum.answers import Header, header
from chains.ethereum.walker import Ring, Walk, walk
from chains.model import BlockRef
from chains.rpc import Endpoint, RpcClient
from chains.rpc_answer import Null


async def walk_on(rpc: RpcClient, endpoint: Endpoint, ring: Ring, head: Header) -> Walk:
    """The way from the ring to the head, as one endpoint tells it. Raises `BlockGone`, `Unavailable`."""

    async def parent_of(child: Header) -> Header:
        block = await rpc.call("eth_getBlockByHash", [child.parent, False], null=Null.BEHIND, endpoint=endpoint)
        return header(block)

    async def still_canonical(blocks: Sequence[BlockRef]) -> list[bool]:
        requests = [("eth_getBlockByNumber", [hex(block.number), False]) for block in blocks]
        found = await rpc.batch(requests, null=Null.NOTHING, endpoint=endpoint)
        return [
            isinstance(block, dict) and block.get("hash") == known.hash
            for block, known in zip(found, blocks, strict=True)
        ]

    return await walk(ring, head, parent_of, still_canonical)
