import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest

from ingest.miniweb import __main__ as command
from ingest.miniweb.attacks import DEAD_HOST_URLS, build_kit
from ingest.miniweb.server import MiniWeb
from schemas.outcome import Outcome

README = Path(command.__file__).with_name("README.md")


@pytest.fixture(scope="module")
def kit():
    return build_kit()


def test_the_readme_has_the_table_of_all_attacks(kit):
    text = README.read_text()
    assert kit.markdown() in text, "expected the output of `python -m ingest.miniweb --list`"


def test_attacks_have_names_words_and_limits_of_their_own(kit):
    assert len(kit.attacks) > 250
    assert max(Counter(attack.name for attack in kit.attacks).values()) == 1
    for attack in kit.attacks:
        assert re.fullmatch(r"[a-z0-9-]+", attack.name)
        assert attack.what
        assert attack.limit
        assert attack.outcomes
        assert "|" not in attack.what + attack.limit
    assert {attack.outcomes[0] for attack in kit.attacks} >= {
        *(Outcome.KEPT, Outcome.TOO_LARGE, Outcome.LOW_SPEED, Outcome.CONNECTION_LOST),
        *(Outcome.PROTOCOL, Outcome.TLS, Outcome.DNS, Outcome.FORBIDDEN_ADDRESS, Outcome.CORRUPT),
        *(Outcome.TOO_MANY_PIXELS, Outcome.TOO_MANY_REDIRECTS, Outcome.BAD_REDIRECT),
        *(Outcome.HTTP_429, Outcome.DECODER_TIMEOUT, Outcome.ROBOTS_UNAVAILABLE),
    }


def test_every_served_attack_has_its_own_host_and_a_page_there(kit):
    own = [attack.url for attack in kit.attacks if ".attack." in attack.url]
    hosts = Counter(urlsplit(url.replace("{", "").replace("}", "")).netloc for url in own)
    assert max(hosts.values()) == 1
    pages = {host for host, _ in kit.site.pages}
    for attack in kit.attacks:
        if ".attack.localhost:{port}" in attack.url and attack.url.startswith("http:"):
            assert urlsplit(attack.url).netloc.partition(":")[0] in pages


def test_urls_are_filled_and_counted(kit):
    with MiniWeb(kit.site) as web:
        rows = list(kit.rows(web))
    assert not [row["url"] for row in rows if "{" in row["url"]]
    assert Counter(row["attack"] for row in rows)["dead-host"] == DEAD_HOST_URLS
    assert len({row["url"] for row in rows}) == len(rows)
    assert set(rows[0]) == {"url", "caption", "attack", "limit", "expectation"}


def test_the_command_lists_and_serves_until_interrupted(tmp_path, monkeypatch, capsys, kit):
    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out.strip() == kit.markdown()
    urls, authority = tmp_path / "urls.parquet", tmp_path / "ca.pem"
    monkeypatch.setattr(command, "_wait_for_interrupt", lambda: None)
    files = [f"--urls={urls}", f"--ca-file={authority}"]
    arguments = ["--only=attacks", "--port=0", "--nameserver-port=0", "--dead-host-urls=3", *files]
    assert command.main(arguments) == 0
    table = pq.read_table(urls)
    assert table.column_names == ["url", "caption", "licence", "attack", "expectation", "limit"]
    said = capsys.readouterr().out
    assert f"{table.num_rows} URLs on 127.0.0.1:" in said
    assert "--nameserver 127.0.0.1:" in said
    assert authority.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
