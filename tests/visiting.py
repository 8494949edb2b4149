"""Shared by the tests of fetching: a crawler that visits pages of a served site."""

import asyncio

from ingest.fetch.crawler import Crawler
from ingest.miniweb.site import Site, image_page
from ingest.spool import Spool
from schemas.options import BuildOptions, FetchOptions

HOST = "photos.localhost"
BODY = bytes(range(256)) * 4000  # More than is kept in memory.
GOOD = image_page(BODY, "image/jpeg")
LOOPBACK = ("127.0.0.0/8", "::1/128")


def visit_all(urls, **options):
    """What became of each URL, and its body."""
    fetch = FetchOptions(allow_network=LOOPBACK, **options.pop("fetch", {}))
    built = BuildOptions(output="unused", fetch=fetch, **options)

    async def run():
        spool, crawler = Spool(0, ""), Crawler(built)
        visits = await asyncio.gather(*(crawler.visit(url, spool) for url in urls))
        bodies = [spool.read(visit.body) if visit.body else None for visit in visits]
        await crawler.close()
        spool.close()
        return list(zip(visits, bodies, strict=True))

    return asyncio.run(run())


def visit(url, **options):
    ((found, _),) = visit_all([url], **options)
    return found


def served(serve, **pages):
    site = Site()
    for name, page in pages.items():
        site.add(HOST, f"/{name}", page)
    return serve(site)
