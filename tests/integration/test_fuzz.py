import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzzing import TARGETS, inputs


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.filterwarnings("ignore")  # Of decoders: the ledger has them.
def test_whatever_strangers_write_ends_in_an_outcome(target):
    @settings(
        max_examples=1500 if target.words else 500,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def attempt(content):
        assert not target.escapes(content), content[:500]

    attempt()
