import pytest

from tests.building import HOST, build, picture_site, write_urls

RATE = 6.0


def most_in_a_second(times):
    times = sorted(times)
    return max(sum(0 <= other - one < 1.0 for other in times) for one in times)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_host_sees_more_than_its_rate_from_all_processes_together(serve, tmp_path, workers):
    web = serve(picture_site(24))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, f"/{n}") for n in range(24)])
    processes = [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
    record = build(
        tmp_path / "d",
        f"--input={table}",
        f"--host-requests-per-s={RATE}",
        "--shard-candidates=3",
        *(processes if workers > 1 else ()),
    )
    assert record.outcomes == {"kept": 24}
    times = [request.at_s for request in web.requests()]
    # Each process asks for robots.txt.
    assert len(times) == 24 + workers
    # Who comes late makes the gap to the next one shorter: one more of each process may fall into
    # a second, as the help of the flag says.
    assert most_in_a_second(times) <= RATE + workers
    assert max(times) - min(times) >= (len(times) - 2 * workers) / RATE
