import gzip
import zlib

import imagecodecs

from ingest.miniweb.compression import brotli_bomb, deflate_bomb, gzip_bomb


def test_gzip_and_deflate_bombs_unfold_a_thousandfold():
    assert gzip.decompress(gzip_bomb(1 << 20)) == zlib.decompress(deflate_bomb(1 << 20))
    assert len(gzip_bomb(10 << 20)) < 20_000
    assert len(deflate_bomb(10 << 20)) < 20_000


def test_a_brotli_bomb_is_valid_and_unfolds_a_million_times():
    unfolded = imagecodecs.brotli_decode(brotli_bomb(2))
    assert len(unfolded) == 2 << 24
    assert not any(unfolded[:: 1 << 12])
    assert len(brotli_bomb(1000)) < 13_000
