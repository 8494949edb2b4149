import pytest

import schemas.__main__
from schemas.__main__ import main


def test_what_is_mistyped_is_told_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schemas.__main__, "_FOLDER", tmp_path)
    (tmp_path / "benchmarks").mkdir()
    with pytest.raises(SystemExit, match="2"):
        main(["--chek"])
    assert "--chek" in capsys.readouterr().err
    assert main(["--check"]) == 1
    assert list(tmp_path.rglob("*.md")) == []
    assert main([]) == 0
    assert main(["--check"]) == 0
