"""Every code that the HTTP API refuses a request with: its status, what it means, and whether to ask again.

Knows words; the endpoints raise them. A test compares this table with what the code raises.
"""

from __future__ import annotations

from dataclasses import dataclass

NO, AFTER, CREDITS, REFRESHED, LATER = (
    "no",
    "after `Retry-After`, with the same name",
    "once there are credits",
    "with a fresh token",
    "later, with the same name",
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One code."""

    status: int
    means: str
    again: str = NO


REFUSALS: dict[str, Refusal] = {
    "MALFORMED_JSON": Refusal(400, "The body is not JSON, or has text that no database can hold."),
    "BAD_REQUEST": Refusal(400, "The request is not HTTP."),
    "INVALID_QUERY": Refusal(400, "`details.fields` names each parameter that cannot be used, with rule and remedy."),
    "IDEMPOTENCY_KEY_INVALID": Refusal(400, "The header is not 1 to 255 printable ASCII characters."),
    "MALFORMED_FORM": Refusal(400, "The body is not the form that its header says, or it broke off."),
    "INVALID_IMAGE_FORMAT": Refusal(400, "The image is none of `details.supported_formats`."),
    "INVALID_AUDIO_FORMAT": Refusal(400, "The audio is none of `details.supported_formats`."),
    "INVALID_IMAGE": Refusal(400, "The image cannot be used; `details` says why and what to give instead."),
    "INVALID_AUDIO": Refusal(400, "The audio cannot be used; `details` says why and what to give instead."),
    "WEBHOOK_MALFORMED": Refusal(400, "The body is not a database webhook."),
    "API_KEY_MISSING": Refusal(401, "No API key was sent."),
    "API_KEY_INVALID": Refusal(401, "The API key is not known, or was revoked."),
    "TOKEN_MISSING": Refusal(401, "No access token was sent."),
    "TOKEN_EXPIRED": Refusal(401, "The access token has ended: refresh the session.", REFRESHED),
    "TOKEN_INVALID": Refusal(401, "This is no access token of a user of this project."),
    "WEBHOOK_UNPROVEN": Refusal(401, "No header proves where the webhook comes from."),
    "SIGNATURE_STALE": Refusal(401, "The webhook's timestamp is more than five minutes away from our clock."),
    "SIGNATURE_INVALID": Refusal(401, "The webhook's signature is not of one of this worker's secrets."),
    "SECRET_INVALID": Refusal(401, "The webhook's secret is not this worker's."),
    "CREDITS_INSUFFICIENT": Refusal(402, "The account has fewer credits than this costs; nothing was made.", CREDITS),
    "OWNER_MISMATCH": Refusal(403, "The request names another owner than the credential's."),
    "TOO_MANY_CHARACTERS": Refusal(403, "A user has at most 1000 characters: delete some."),
    "NOT_FOUND": Refusal(404, "There is no such path."),
    "KIND_UNKNOWN": Refusal(404, "There are no sessions of this kind; `details.kinds` names those there are."),
    "SESSION_NOT_FOUND": Refusal(404, "The caller has no such session."),
    "CHARACTER_NOT_FOUND": Refusal(404, "The user has no such character."),
    "JOB_NOT_FOUND": Refusal(404, "The user has no such job."),
    "WEBHOOKS_OFF": Refusal(404, "This worker takes no webhooks: it has no secret to know them by."),
    "METHOD_NOT_ALLOWED": Refusal(405, "The path has no such method; the header `Allow` names those it has."),
    "REQUEST_TIMEOUT": Refusal(408, "The body did not come in time."),
    "SESSION_FINISHED": Refusal(409, "The session is finished already."),
    "NOT_READY": Refusal(409, "The session is not finished; `details.progress` says how far it is.", AFTER),
    "SESSION_FAILED": Refusal(409, "The session failed; `details.error` says why."),
    "SESSION_CANCELLED": Refusal(409, "The session was cancelled."),
    "SESSION_ID_USED": Refusal(409, "The name was used for a session that was deleted."),
    "GONE": Refusal(410, "The result was removed: it is kept for a time only."),
    "PAYLOAD_TOO_LARGE": Refusal(413, "The body, or its file `details.field`, is larger than `details.limit_bytes`."),
    "UNSUPPORTED_MEDIA_TYPE": Refusal(415, "The body has another content type than this takes, or is encoded."),
    "EXPECTATION_FAILED": Refusal(417, "The header `Expect` asks for something else than `100-continue`."),
    "INVALID_PARAMS": Refusal(422, "`details.fields` names each field that cannot be used, with rule and remedy."),
    "INPUT_UNAVAILABLE": Refusal(422, "The URL of an input is nothing that everybody can open."),
    "IDEMPOTENCY_KEY_REUSED": Refusal(422, "The key or id was used for a request with other fields."),
    "TOO_MANY_SESSIONS": Refusal(422, "An array has 1 to 100 sessions."),
    "EVENT_NOT_INSERT": Refusal(422, "The webhook tells of no insert."),
    "TABLE_NOT_SERVED": Refusal(422, "The webhook's table is none of this worker's."),
    "RATE_LIMITED": Refusal(429, "The key's requests, or the plan's sessions, are used up for now.", AFTER),
    "TOO_MANY_UPLOADS": Refusal(429, "Too many uploads of the account are under way.", AFTER),
    "INTERNAL_ERROR": Refusal(500, "Our fault; the log has it under the request's id.", LATER),
    "INPUT_UNREACHABLE": Refusal(502, "The server of an input does not answer.", AFTER),
    "BUSY": Refusal(503, "Too many requests are being answered.", AFTER),
    "TEMPORARILY_UNAVAILABLE": Refusal(503, "The project does not answer at the moment.", AFTER),
    "TIMEOUT": Refusal(503, "It took longer than the endpoint's limit.", AFTER),
}
