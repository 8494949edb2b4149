"""What is said of a dataset in more than one of its papers: plain sentences, nothing escaped."""

from ingest.papers.facts import Facts, share_of, share_of_sample
from schemas.certificate import Certificate, Recall
from schemas.outcome import Outcome

NO_CONTACT = (
    "The publisher has named no contact for takedown requests and questions yet (--contact)."
)
_LISTED_SUFFIXES = 10
_LISTED_COUNTRIES = 5


def summary(facts: Facts) -> str:
    """What the dataset is, in a few sentences."""
    survey = facts.survey
    return (
        f"{survey.num_kept:,} images ({survey.kept_bytes:,} bytes) of {survey.num_candidates:,} "
        f"candidates. {_origin(facts)} No content filter was applied. Every candidate, kept or "
        "not, has a row with its outcome and provenance in the ledger. Merkle root: "
        f"{survey.merkle_root}."
    )


def collection(facts: Facts) -> str:
    """How the images were collected."""
    parts = [_origin(facts)]
    if facts.num_fetched:
        parts.append(
            f"{facts.num_fetched:,} candidates are URLs; the crawler showed itself as "
            f"{facts.user_agent!r} and {rate(facts)}."
        )
    if facts.num_stored:
        parts.append(
            f"The bytes of {facts.num_stored:,} candidates lay in files of the input, such as web "
            "archives; nobody was asked for them."
        )
    return " ".join(parts)


def collection_types(facts: Facts) -> list[str]:
    """The ways of collecting, in the words of the Croissant RAI vocabulary."""
    ways = {"Web Scraping": facts.num_fetched, "Secondary Data analysis": facts.num_stored}
    return [way for way, count in ways.items() if count]


def missing_data(facts: Facts) -> str:
    """The share of candidates that are kept, and why each other is not."""
    total = facts.survey.num_candidates
    kept = facts.survey.outcomes.get(Outcome.KEPT, 0)
    reasons = [
        f"{outcome} {share_of(count, total)}: {outcome.explanation}"
        for outcome, count in facts.ranked_outcomes()
        if outcome != Outcome.KEPT
    ]
    told = " ".join(reasons) if reasons else "All candidates are kept."
    tombs = facts.survey.num_tombstones
    later = (
        f" Of the kept images {tombs:,} were removed later by tombstones, which every reader obeys."
        if tombs
        else ""
    )
    return f"Kept: {share_of(kept, total)}. {told}{later}"


def raw_data(facts: Facts) -> str:
    """What the candidates were drawn from."""
    plan = facts.record.plan
    sampled = plan.options.get("sample_rate", 1.0)
    return (
        f"{plan.num_rows:,} rows of {len(plan.inputs):,} inputs, of which {plan.num_candidates:,} "
        f"became candidates (share taken, by hash: {sampled}; seed {plan.options.get('seed', 0)}). "
        "Nothing else was chosen. The rows, with their pass-through columns, stand in the plan and "
        "in the ledger."
    )


def preprocessing(facts: Facts) -> list[str]:
    """What was done to the images before they were packed."""
    done = (
        "The images are smaller copies of those of another dataset, which dataset.json names; each "
        "ledger row has the SHA-256 of its original. EXIF and ICC profiles were dropped."
        if facts.is_resized
        else "None: the packed bytes are those that were received, EXIF, XMP and ICC included."
    )
    return [
        done,
        "Each image was decoded once, to prove it readable within limits of size, time and memory, "
        "and to compute its SHA-256, MD5 and perceptual hash (version "
        f"{facts.record.build.fingerprint or 'none'}).",
    ]


def manipulation(facts: Facts) -> str:
    """What was taken out after collection, and how well that works."""
    certificate = facts.record.certificate
    if certificate is None:
        cleaned = f"No image was compared with an evaluation set: {facts.record.decontamination}."
    else:
        cleaned = _cleaned(facts.record.decontamination, certificate)
    return (
        "None but this: copies of evaluation images are removed. Nothing looks at size, text, "
        f"nudity, quality or similarity to other images. {cleaned}"
    )


def personal_information(facts: Facts) -> list[str]:
    """What is known of persons in the images and in their metadata."""
    survey = facts.survey
    fields = [
        f"{name}: {share_of_sample(count, survey.num_sampled)}."
        for name, count in sorted(survey.exif_fields.items())
    ]
    return [
        "Not filtered: images may show faces, documents, number plates and other personal or "
        "sensitive matter, just as the places that they come from do.",
        "Image files keep their metadata (EXIF, XMP), unless they were resized; URLs and captions "
        "of the ledger may name persons.",
        *(f"EXIF field {line}" for line in fields if survey.num_sampled),
    ]


def biases(facts: Facts) -> list[str]:
    """What the images are unevenly spread over, as far as it can be counted."""
    survey = facts.survey
    lines = [
        "What is popular on the web, easily linked and still there is found more often. Nothing "
        "was balanced."
    ]
    if survey.domains.top and survey.kept_bytes:
        first = survey.domains.top[0]
        lines.append(
            f"Registered domains: images come from {survey.domains.num_kept_domains:,}; of the "
            f"bytes {first.domain} gave most: {share_of(first.kept_bytes, survey.kept_bytes)}."
        )
    top = list(survey.suffixes.top.items())[:_LISTED_SUFFIXES]
    if top:
        told = "; ".join(f"{name} {share_of(count, survey.suffixes.total)}" for name, count in top)
        lines.append(f"Last labels of the candidates' hosts: {told}.")
    return lines


def geography(facts: Facts) -> list[str]:
    """Countries by each kind of evidence, with the intervals of their shares."""
    lines = []
    for one in facts.survey.geography:
        told = "; ".join(
            f"{share.country} {share_of(share.num_images, one.num_located)}, 95 % interval "
            f"{share.low:.1%} to {share.high:.1%}"
            for share in one.countries[:_LISTED_COUNTRIES]
        )
        located = f"{share_of(one.num_located, one.num_asked)} images of the sample could be placed"
        lines.append(
            f"Countries by {one.evidence}: {located}{': ' + told if told else ''}. How: {one.note}"
        )
    return lines


def limitations(facts: Facts) -> list[str]:
    """What a user must not take for granted."""
    certificate = facts.record.certificate
    lines = [
        "The images may be illegal, offensive, false or protected by copyright in places; nothing "
        "was looked at by people.",
        "Images that copy one another were not removed, unless they copy an evaluation image.",
        "The web changes: the same URLs give other bytes, or none, later. Only the ledger tells "
        "what was there.",
    ]
    if certificate is None:
        lines.append("Evaluation images may be among the images: nothing was compared.")
    else:
        low, high = certificate.residual
        lines.append(
            f"Copies of evaluation images may be left: by the planted ones {low:,.1f} to "
            f"{high:,.1f} near copies."
        )
    return lines


USE_CASES = [
    "Pretraining of image models without labels.",
    "Studies of the web's images, of link rot and of publishers' opt-outs, by the ledger.",
]
SOCIAL_IMPACT = (
    "Models trained on uncurated images may repeat their stereotypes, know persons again and "
    "imitate protected works. Whoever trains or publishes a model must look for that; the ledger "
    "and the report make it countable, no more."
)


def maintenance(facts: Facts) -> str:
    """Whom to ask for removals, and what happens then."""
    contact = facts.options.contact
    whom = f"Takedown requests and questions: {contact}." if contact else NO_CONTACT
    return (
        f"{whom} A removal first writes a tombstone, which every reader obeys at once, then takes "
        "the bytes out of the shards for good (uncurated remove, uncurated repack). Versions are "
        "MAJOR.MINOR.PATCH: a removal of images from the shards raises MAJOR, added images MINOR. "
        f"This is version {facts.survey.version}; {facts.survey.num_tombstones:,} images are "
        f"named by tombstones, {facts.survey.outcomes.get(Outcome.REMOVED, 0):,} have been taken "
        "out for good."
    )


def rate(facts: Facts) -> str:
    """How hard hosts were asked: what was promised, and what the busiest saw."""
    limit = facts.built("politeness").get("host_requests_per_s", 0.0)
    promised = (
        f"was told to ask a host at most {limit} times a second"
        if limit
        else "had no limit of requests a second to a host"
    )
    traffic = facts.report.traffic
    if traffic is None or traffic.busiest_second is None or traffic.busiest_minute is None:
        return f"{promised}; what hosts saw is not on record"
    return (
        f"{promised}; the most that any host saw is {traffic.busiest_second.num_requests:,} "
        f"requests in a second and {traffic.busiest_minute.num_requests:,} in a minute"
    )


def _origin(facts: Facts) -> str:
    if not facts.num_fetched:
        return "The images lay in files of the input; nothing was fetched."
    if facts.start is None:
        return "The candidates are links of the web, fetched in an order drawn at random."
    return (
        "The candidates are links of the web, fetched in an order drawn at random from "
        f"{facts.start} to {facts.end}."
    )


def _cleaned(words: str, certificate: Certificate) -> str:
    sets = "; ".join(
        f"{name} ({one.protected.num_images:,} images): {one.exact_copies:,} exact and "
        f"{one.near_copies:,} near copies removed"
        for name, one in certificate.sets.items()
    )
    return (
        f"Compared {words}. {sets}. Planted copies that were found: {_recall(certificate.recall)}."
    )


def _recall(recall: Recall) -> str:
    if not recall.tried:
        return "none was planted"
    return (
        f"{share_of(recall.found, recall.tried)}, 95 % interval {recall.low:.1%} to "
        f"{recall.high:.1%}"
    )
