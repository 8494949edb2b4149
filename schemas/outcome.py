"""The closed vocabulary of outcomes: each candidate ends with exactly one of these words."""

from enum import StrEnum


class Outcome(StrEnum):
    """What became of a candidate. The word is stable: ledgers, reports and `retry` use it."""

    stage: str
    explanation: str

    def __new__(cls, word: str, stage: str = "", explanation: str = "") -> "Outcome":
        member = str.__new__(cls, word)
        member._value_ = word
        member.stage = stage
        member.explanation = explanation
        return member

    KEPT = "kept", "pack", "The bytes are in a shard, as received."

    DUPLICATE_EXACT = "duplicate_exact", "match", "Same bytes as an evaluation image."
    DUPLICATE_NEAR = "duplicate_near", "match", "Looks like an evaluation image (perceptual hash)."

    REMOVED = "removed", "removal", "Taken out after the fact, on request; `removals/` says why."

    MALFORMED_ROW = "malformed_row", "plan", "The input row has no URL or could not be parsed."
    INVALID_URL = "invalid_url", "plan", "The URL is not valid, or not one of http, https or data."

    NOT_STORED = "not_stored", "plan", "The input names it but holds no bytes of it."

    ROBOTS = "robots", "consent", "robots.txt forbids it to our user agent."
    ROBOTS_UNAVAILABLE = (
        "robots_unavailable",
        "consent",
        "robots.txt could not be had (5xx, time-out), which RFC 9309 reads as forbidden.",
    )
    OPT_OUT = (
        "opt_out",
        "consent",
        "A header of the answer, a file of the publisher or the image itself opts out.",
    )

    FORBIDDEN_ADDRESS = "forbidden_address", "network", "The host's address is not public."
    DEFERRED = "deferred", "network", "The host's request budget was spent; `retry` plans it anew."
    HOST_DOWN = "host_down", "network", "The host failed again and again and was not asked."
    DNS = "dns", "network", "The host name could not be resolved."
    CONNECT = "connect", "network", "No connection: refused, unreachable or reset before an answer."
    TLS = "tls", "network", "The TLS handshake or the certificate check failed."
    TIMEOUT = "timeout", "network", "The whole request took longer than its deadline."
    LOW_SPEED = "low_speed", "network", "The bytes came more slowly than the low-speed limit."
    CONNECTION_LOST = "connection_lost", "network", "The connection broke inside the answer."
    PROTOCOL = "protocol", "network", "The answer is not valid HTTP or its encoding is broken."

    TOO_MANY_REDIRECTS = "too_many_redirects", "http", "A redirect loop, or more than the limit."
    BAD_REDIRECT = "bad_redirect", "http", "A redirect to no valid http or https URL."
    HTTP_401 = "http_401", "http", "Status 401, unauthorised."
    HTTP_403 = "http_403", "http", "Status 403, forbidden."
    HTTP_404 = "http_404", "http", "Status 404, not found."
    HTTP_410 = "http_410", "http", "Status 410, gone."
    HTTP_429 = "http_429", "http", "Status 429, too many requests."
    HTTP_4XX = "http_4xx", "http", "Another client error status."
    HTTP_5XX = "http_5xx", "http", "A server error status."
    HTTP_OTHER = "http_other", "http", "A status that brings no body, such as 204 or 304."
    TOO_LARGE = "too_large", "http", "More bytes than the cap, after decompression too."
    EMPTY = "empty", "http", "The answer has no bytes."
    UNREADABLE = "unreadable", "network", "The local or stored file could not be read."

    NOT_AN_IMAGE = "not_an_image", "inspect", "The bytes start like no image format."
    UNSUPPORTED_FORMAT = "unsupported_format", "inspect", "An image format not decoded here."
    TOO_MANY_PIXELS = "too_many_pixels", "inspect", "More pixels than the limit (header)."
    CORRUPT = "corrupt", "inspect", "The file could not be decoded to its end."
    DECODER_CRASH = "decoder_crash", "inspect", "The decoder process died on it."
    DECODER_TIMEOUT = "decoder_timeout", "inspect", "Decoding took longer than its limit."
    DECODER_MEMORY = "decoder_memory", "inspect", "Decoding needed more memory than its limit."


def markdown() -> str:
    """The vocabulary as a Markdown table."""
    rows = [f"| `{outcome}` | {outcome.stage} | {outcome.explanation} |" for outcome in Outcome]
    return "\n".join(["| outcome | decided in | meaning |", "|---|---|---|", *rows])
