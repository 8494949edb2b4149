import gzip
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.forecast.hosts import count_hosts, forecast_hosts, hosts_of_batch
from ingest.forecast.interval import CERTAIN_CANDIDATES, Clusters
from ingest.forecast.sample import Sample, url_host
from ingest.host_counts import HostCounts
from schemas.options import PlanOptions

URLS = ["http://A.example/1", "https://b.example:8443/x?y", "http://a.example", "", "nonsense"]
EXPECTED = Counter({"a.example": 2, "b.example": 1})


def write_txt(path):
    path.write_text("\n".join(URLS))


def write_csv_gz(path):
    rows = "".join(f"{url},1\n" for url in URLS)
    path.write_bytes(gzip.compress(f"URL,size\n{rows}".encode()))


def write_jsonl(path):
    path.write_text("".join(json.dumps({"url": url}) + "\n" for url in URLS))


def write_parquet(path):
    pq.write_table(pa.table({"size": [1] * len(URLS), "url": URLS}), path, row_group_size=2)


def write_dictionary(path):
    pq.write_table(pa.table({"url": pa.array([*URLS, None]).dictionary_encode()}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("urls.txt", write_txt),
        ("urls.csv.gz", write_csv_gz),
        ("urls.jsonl", write_jsonl),
        ("urls.parquet", write_parquet),
        ("dictionary.parquet", write_dictionary),
    ],
)
def test_hosts_are_counted_in_tables_of_each_kind(tmp_path, name, write):
    write(tmp_path / name)
    uri, rows = str(tmp_path / name), []
    counts = count_hosts([uri], PlanOptions(input=(uri,)), lambda _, number: rows.append(number))
    assert dict(counts.heaviest(9)) == EXPECTED
    assert sum(rows) >= len([url for url in URLS if url])


def test_broken_text_and_columns_of_numbers_name_no_host(tmp_path):
    broken = pa.array([b"http://a.example/\xff", b"http://b\xff.example/"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, broken.buffers())
    assert pa.types.is_string(text.type)
    for name, column in (("broken", text), ("numbers", pa.array([1, 2]))):
        pq.write_table(pa.table({"url": column}), tmp_path / f"{name}.parquet")
    uris = [str(tmp_path / "broken.parquet"), str(tmp_path / "numbers.parquet")]
    options = PlanOptions(input=tuple(uris))
    assert dict(count_hosts(uris, options, lambda *_: None).heaviest(9)) == {"a.example": 1}


HOST_LIKE = st.text(st.sampled_from("abC0x.-:@/\\?# é%[]1_"), max_size=20)


@given(
    st.lists(
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["http://", "HTTPS://", "ftp:", ""]),
            HOST_LIKE,
            st.sampled_from(["", "/", "/x y", ":80/", ":99999/"]),
        )
    )
)
def test_a_batch_has_the_hosts_that_its_urls_have_one_by_one(urls):
    expected = Counter(host for url in urls if (host := url_host(url)) is not None)
    assert hosts_of_batch(pa.array(urls, pa.string())) == expected


def sample_of(hosts, requests):
    zeros = np.zeros(len(hosts))
    return Sample(
        hosts=hosts,
        outcomes=np.array(["kept"] * len(hosts)),
        requests=np.array(requests),
        received_bytes=zeros,
        stored_bytes=zeros,
        clusters=Clusters.of(hosts),
    )


def test_a_host_takes_as_long_as_its_requests_at_its_rate():
    counts = HostCounts()
    counts.add({"big": 72_000, "small": 3_600, "limited": 360})
    sample = sample_of(["big"] * CERTAIN_CANDIDATES + ["x"], [2] * CERTAIN_CANDIDATES + [33])
    rates = {"big": 2.0, "limited": 0.01}
    hosts = forecast_hosts(counts, 0.5, sample, lambda host: rates.get(host, 0.0))
    hours = {one.host: (one.num_candidates, one.requests_per_candidate, one.hours) for one in hosts}
    assert [one.host for one in hosts] == ["limited", "big", "small"]
    assert hours["big"] == (36_000, 2.0, 10.0)
    assert hours["limited"] == (180, 3.0, 15.0)
    # Unlimited: told at one request a second.
    assert hours["small"] == (1800, 3.0, 1.5)
