"""Decides what hash and thumbnail leave open, by a learned descriptor, if a build is given one."""

from dataclasses import replace

from ingest.errors import InspectError, SetupError
from ingest.evaluation_index.descriptor import Descriptor
from ingest.evaluation_index.match import Match
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.sandbox import DecoderPool
from ingest.spool import Region
from schemas.options import MatchOptions
from schemas.outcome import Outcome


class BorderlineJudge:
    """Looks again at matches that fell short by little."""

    def __init__(
        self, index: EvaluationIndex, options: MatchOptions, decoders: DecoderPool
    ) -> None:
        """Raises SetupError if the model is not the one that the index was made with."""
        self._index, self._options, self._decoders = index, options, decoders
        self._descriptor = Descriptor(options.descriptor) if options.min_cosine else None
        recorded = index.manifest.descriptor_sha256
        if self._descriptor is not None and self._descriptor.sha256 != recorded:
            raise SetupError(
                f"--descriptor: expected the model of the index, sha256 {recorded or 'none'}, got "
                f"{self._descriptor.sha256}"
            )

    async def decide(self, match: Match | None, region: Region) -> Match | None:
        """The match of the image in `region`, a copy if its descriptor says so."""
        if self._descriptor is None or match is None or not match.borderline:
            return match
        try:
            pixels = await self._decoders.small_picture(region, 2 * self._descriptor.side_px)
        except InspectError:
            return match
        cosine = self._index.cosine(match.name, self._descriptor.describe(pixels))
        copied = cosine >= self._options.min_cosine
        outcome = Outcome.DUPLICATE_NEAR if copied else None
        return replace(match, cosine=cosine, outcome=outcome)
