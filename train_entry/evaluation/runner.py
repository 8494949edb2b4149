"""Jobs -> figures: features by all ranks, then each job by one rank, all of it resumable."""

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from schemas.benchmarks.recipes import FineTune
from train_entry.errors import TrainError
from train_entry.evaluation.device import protocols_on
from train_entry.evaluation.encoder import POOL_NORM, Encoder
from train_entry.evaluation.fine_tune import Tuning, fine_tune
from train_entry.evaluation.jobs import Job
from train_entry.evaluation.kept_head import load_kept_head
from train_entry.evaluation.options import EvaluateOptions
from train_entry.evaluation.protocols import evaluate_function
from train_entry.evaluation.results import JobResult, Results
from train_entry.evaluation.shown import Shown, probe_of, taps_of, views_of
from train_entry.evaluation.together import Unreadable, gathered

_LOG = logging.getLogger("train_entry")


class Runner:
    """Does jobs with one encoder. Collective: all ranks call `run` with the same jobs."""

    def __init__(self, encoder: Encoder, options: EvaluateOptions) -> None:
        self._encoder, self._options = encoder, options
        self._ranks = encoder.placement.ranks
        self._results = Results(options.output)
        self._shown = Shown(encoder, options)
        self._failed: dict[str, str] = {}

    def run(self, jobs: Sequence[Job]) -> tuple[dict[str, JobResult], dict[str, str]]:
        """What each job found, by its name, and why others found nothing."""
        keys = {job.name: self._key(job) for job in jobs}
        known = [job.name for job in jobs if self._results.read(job, keys[job.name])]
        # What the first rank saw: one that looks later may see what another has just written.
        known = gathered(known, self._ranks)[0]
        todo = [job for job in jobs if job.name not in known]
        _LOG.info("%d of %d benchmarks and protocols are to be done", len(todo), len(jobs))
        tuned = [job for job in todo if isinstance(job.recipe, FineTune)]
        others = [job for job in todo if not isinstance(job.recipe, FineTune)]
        # First, for FSDP2 trains no weights any more that it has once seen without gradients.
        for job in tuned:
            self._do(job, keys[job.name])
        ready = [job for job in others if self._extracted(job)]
        for job in ready[self._ranks.rank :: self._ranks.world]:
            self._do(job, keys[job.name])
        failed = self._gathered()
        found = {job.name: self._results.read(job, keys[job.name]) for job in jobs}
        return {name: one for name, one in found.items() if one is not None}, failed

    def _key(self, job: Job) -> str:
        """All that figures depend on; features differ in last bits by batch and device."""
        told = self._options.model_dump(include={"views", "precision", "batch"})
        device = self._ranks.device.type
        text = f"{self._encoder.record.sha256} {job.digest} {sorted(told.items())} {device}"
        return sha256(text.encode()).hexdigest()

    def _extracted(self, job: Job) -> bool:
        """Whether all images of a job could be read. Collective."""
        try:
            self._shown.extract(job)
        except Unreadable as error:
            self._fail(job, error)
            return False
        return True

    def _do(self, job: Job, key: str) -> None:
        """Do a job and keep what it found; what its images make impossible is told."""
        try:
            tuned = isinstance(job.recipe, FineTune)
            result = self._fine_tuned(job, key) if tuned else self._evaluated(job, key)
        except (TrainError, ValueError) as error:
            self._fail(job, error)
            return
        if not tuned or self._ranks.first:
            self._results.write(job, result)
            for split, scores in result.scores.items():
                first = scores[0]
                _LOG.info("%s %s: %s %.4f", job.name, split, first.metric, first.value)

    def _fail(self, job: Job, error: Exception) -> None:
        self._failed[job.name] = str(error)
        _LOG.warning("%s: not evaluated: %s", job.name, error)

    def _evaluated(self, job: Job, key: str) -> JobResult:
        evaluate = evaluate_function(job.protocol)
        with protocols_on(self._ranks.device):
            scores = {
                split: tuple(evaluate(job.recipe, roles))
                for split, roles in self._shown.tests(job).items()
            }
        num_images, num_bad = self._shown.counts(job)
        return JobResult(key=key, scores=scores, num_images=num_images, num_bad=num_bad)

    def _fine_tuned(self, job: Job, key: str) -> JobResult:
        assert isinstance(job.recipe, FineTune)
        (train,), tests = job.parts["train"], job.parts["test"]
        told = self._options
        tuning = Tuning(
            Path(told.output) / "fine_tune" / f"{job.name}-{key[:12]}",
            told.workers,
            lambda: load_kept_head(told.model),
            f"{job.name} fine-tuning",
        )
        found = fine_tune(job.recipe, self._encoder, train, tests, tuning)
        return JobResult(
            key=key,
            scores={test.part: tuple(one) for test, one in zip(tests, found, strict=True)},
            num_images={one.name: len(one.names) for one in (train, *tests)},
            num_bad={},
        )

    def _gathered(self) -> dict[str, str]:
        """The failures of all ranks; behind it all of them have written their results."""
        whole: dict[str, str] = {}
        for one in gathered(self._failed, self._ranks):
            whole |= one
        return dict(sorted(whole.items()))


def deviations_of(job: Job, encoder: Encoder, options: EvaluateOptions) -> list[str]:
    """Where an evaluation is not what was published, in words."""
    told: list[str] = [job.recipe.note] if job.recipe.note else []
    told += [f"Without {role} images: {reason}." for role, reason in sorted(job.absent.items())]
    told += dict.fromkeys(one.remark for parts in job.parts.values() for one in parts if one.remark)
    taps = [tap for tap in taps_of(job.recipe) if tap not in encoder.taps and tap != POOL_NORM]
    if taps and not isinstance(job.recipe, FineTune):
        told.append(f"The encoder has no {', '.join(taps)}; what it has was used.")
    probe, views = probe_of(job.recipe), views_of(job.recipe, options)
    if probe is not None:
        told.append(
            f"Linear classifiers saw {views} random views of each training image."
            if views
            else "Linear classifiers saw the middle of each training image, no random views."
        )
    if probe is not None and probe is not job.recipe and len(encoder.chosen(probe.taps)) > 1:
        told.append("A twentieth of the training images chose the tap and was not trained on.")
    if options.precision != "float32":
        told.append(f"Features were computed in {options.precision}.")
    return told
