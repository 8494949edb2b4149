"""Sample id, Bernoulli sampling by hash, and the shard of a candidate."""

from hashlib import blake2b, sha256

from schemas.manifest import DatasetRecord

_RANGE = 1 << 64


def sample_id(source: str, row: int, url: str) -> str:
    """32 hex digits from source, row and URL as given: the sample's key."""
    # Lengths in front make the encoding unambiguous; surrogates come from broken inputs.
    parts = [part.encode("utf-8", "surrogatepass") for part in (source, str(row), url)]
    return sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:32]


def draw(candidate_id: str, seed: int) -> tuple[int, int]:
    """Two independent uniform 64-bit numbers of a candidate: for sampling, and its global order."""
    key = seed.to_bytes(8, "big")
    digest = blake2b(bytes.fromhex(candidate_id), digest_size=16, key=key).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def is_taken(number: int, rate: float) -> bool:
    """Whether a uniform 64-bit number falls into a share `rate` of all; always for rate 1."""
    return number < rate * _RANGE


def shard_of(order: int, num_shards: int) -> int:
    """The shard of a place in the global order: equal stretches of the 64-bit range."""
    return order * num_shards >> 64


def shards_over(shard: int, num_shards: int, other_shards: int) -> range:
    """Which of `other_shards` hold any place in the global order that one of `num_shards` holds."""
    first, end = (-(-(number << 64) // num_shards) for number in (shard, shard + 1))
    return range(shard_of(first, other_shards), shard_of(end - 1, other_shards) + 1)


def likely_shards(seal: DatasetRecord, candidate_id: str) -> list[int]:
    """The shards that a candidate is in, by generation, if its place follows from its id.

    It does not for images in parquet files, which are planned by row group.
    """
    seed = seal.plan.options.get("seed")
    if not isinstance(seed, int) or not seal.plan.num_shards:
        return []
    order = draw(candidate_id, seed)[1]
    later = [one.first_shard + shard_of(order, one.num_shards) for one in seal.retries]
    return [shard_of(order, seal.plan.num_shards), *later]
