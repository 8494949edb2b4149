"""The digest of a file, as fast as the storage gives its bytes."""

from hashlib import sha256

from ingest import storage

# Large enough that hashing, which lets other threads run, takes a hundred times as long as the rest
# of a round; small enough to stay in a processor's cache.
_BUFFER_BYTES = 1 << 18


def hash_file(uri: str) -> tuple[str, int]:
    """SHA-256 as 64 hex digits, and size in bytes; raises FileNotFoundError."""
    hashed, num_bytes = sha256(), 0
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with storage.open_input(uri) as file:
        # One buffer for all rounds: a fresh one each would cost page faults.
        while count := file.readinto(buffer):  # type: ignore[attr-defined]
            hashed.update(buffer[:count])
            num_bytes += count
    return hashed.hexdigest(), num_bytes
