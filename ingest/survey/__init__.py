"""The survey of a finished dataset: what its ledger counts, and what a random sample shows."""

from ingest.survey.make import make_survey
from ingest.survey.sample import SampledImage

__all__ = ["SampledImage", "make_survey"]
