//! Every kind of error there is, in one table: the status for proxies, the word for programs, and for people what it
//! means and what to do. The document of the API and `docs/errors.md` are made from it.

use axum::http::StatusCode;

macro_rules! error_kinds {
    ($($variant:ident = $status:ident $word:literal, $meaning:literal, $remedy:literal;)+) => {
        /// Every kind of error there is. The word tells programs what happened, the status tells proxies.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::api) enum ErrorKind { $($variant,)+ }

        impl ErrorKind {
            /// All of them, by status.
            pub(in crate::api) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The status and the word of its answers. Two kinds may share them.
            pub(in crate::api) const fn status_and_word(self) -> (StatusCode, &'static str) {
                match self { $(Self::$variant => (StatusCode::$status, $word),)+ }
            }

            /// What it means.
            pub(in crate::api) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// What its caller can do.
            pub(in crate::api) const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }
    };
}

error_kinds! {
    InvalidRequest = BAD_REQUEST "INVALID_REQUEST",
        "A field or a query parameter is missing, or has a value that cannot be used.",
        "`errors` names each of them, and what would be right.";
    UnrecognizedField = BAD_REQUEST "UNRECOGNIZED_FIELD",
        "The call does not know a field or a query parameter that was sent.",
        "`errors` names each of them, and those that are known. Something else may be wrong besides.";
    InvalidJson = BAD_REQUEST "INVALID_JSON",
        "The body is not JSON.",
        "The message tells the line and the column.";
    BodyIncomplete = BAD_REQUEST "BODY_INCOMPLETE",
        "The body broke off, or was not there within 10 seconds.",
        "Send it again.";
    SourceAmbiguous = BAD_REQUEST "SOURCE_AMBIGUOUS",
        "More than one source holds the id, or it is not known which one does.",
        "Add `source`, the one that is meant.";
    RangeExpired = BAD_REQUEST "RANGE_EXPIRED",
        "Retention has cut a part of the range that was asked for.",
        "Begin at `earliest`, or leave `since` out.";
    MissingKey = UNAUTHORIZED "UNAUTHORIZED",
        "There is no key, or one that opens nothing here.",
        "Send `authorization: Bearer KEY` with a key that is in force.";
    WrongKey = UNAUTHORIZED "UNAUTHORIZED",
        "There is no key, or one that opens nothing here.",
        "Send `authorization: Bearer KEY` with a key that is in force.";
    ScopeMissing = FORBIDDEN "FORBIDDEN",
        "The key lacks the scope that the call needs.",
        "Use a key that has the scope that the message names.";
    RouteNotFound = NOT_FOUND "ROUTE_NOT_FOUND",
        "There is no such route.",
        "Look the path up in this reference.";
    EndpointNotFound = NOT_FOUND "ENDPOINT_NOT_FOUND",
        "There is no endpoint of that id or uid.",
        "`GET /v1/endpoints` lists them.";
    EventNotFound = NOT_FOUND "EVENT_NOT_FOUND",
        "There is no event of that id, or it is no longer kept.",
        "`GET /v1/events` lists those that are kept.";
    EventTypeNotFound = NOT_FOUND "EVENT_TYPE_NOT_FOUND",
        "There is no event type of that name.",
        "`GET /v1/event-types` lists them.";
    DeliveryNotFound = NOT_FOUND "DELIVERY_NOT_FOUND",
        "There is no delivery of that id: it was not tried yet, or it is no longer kept.",
        "`GET /v1/events/{id}/deliveries` tells of those that were not tried yet, too.";
    ReplayNotFound = NOT_FOUND "REPLAY_NOT_FOUND",
        "There is no replay of that id.",
        "`GET /v1/replays` lists them.";
    SourceNotFound = NOT_FOUND "SOURCE_NOT_FOUND",
        "There is no source of that name.",
        "`GET /v1/sources` lists them; they are set up in the configuration.";
    CertificateNotFound = NOT_FOUND "CERTIFICATE_NOT_FOUND",
        "There is no certificate of that id, or it was removed.",
        "`removed=true` also shows one that was removed, and `fresh=true` asks upstream first.";
    RequestNotFound = NOT_FOUND "CERTIFICATE_REQUEST_NOT_FOUND",
        "There is no certificate request of that id, or it was removed.",
        "`removed=true` also shows one that was removed, and `fresh=true` asks upstream first.";
    KeyNotFound = NOT_FOUND "KEY_NOT_FOUND",
        "There is no key of that id.",
        "`GET /v1/keys` lists them.";
    DocumentNotAvailable = NOT_FOUND "DOCUMENT_NOT_AVAILABLE",
        "The certificate has no document yet.",
        "Wait for `certificate.document_available`.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "METHOD_NOT_ALLOWED",
        "The route does not have that method.",
        "The header `allow` names those that it has.";
    DeliveryUnderWay = CONFLICT "DELIVERY_UNDER_WAY",
        "The delivery is being tried, or its turn is about to come.",
        "Look again in a moment.";
    DeliveryEnded = CONFLICT "DELIVERY_ENDED",
        "The delivery was delivered or its event is no longer kept, so that there is nothing to retry; or it has ended, so \
         that there is nothing to cancel.",
        "`POST /v1/events/{id}/redeliver` sends an event once more that was delivered.";
    EndpointDisabled = CONFLICT "ENDPOINT_DISABLED",
        "The endpoint is disabled, so that nothing is sent to it.",
        "Enable it first.";
    GatewayPaused = CONFLICT "GATEWAY_PAUSED",
        "The gateway was started with `--paused`, so that nothing is sent.",
        "Start it without `--paused`.";
    SourcePaused = CONFLICT "SOURCE_PAUSED",
        "The source is paused, so that it is not polled.",
        "Resume it first.";
    BackupUnderWay = CONFLICT "BACKUP_UNDER_WAY",
        "As many backups are being made as can.",
        "Wait until the other one is done.";
    UidTaken = CONFLICT "UID_TAKEN",
        "Another endpoint has that uid.",
        "Choose another one, or change that endpoint by `PUT /v1/endpoints/{uid}`.";
    TooManySecrets = CONFLICT "TOO_MANY_SECRETS",
        "As many secrets sign as can.",
        "Wait until the first of them stops, or rotate with an `overlap` of `0s`.";
    TooManyKeys = CONFLICT "TOO_MANY_KEYS",
        "There are as many keys as there can be.",
        "Delete those that nobody uses; `last_used_at` tells.";
    IdempotencyConflict = CONFLICT "IDEMPOTENCY_CONFLICT",
        "A call with this idempotency key is under way, or was begun and did not come to an answer that was kept.",
        "Ask again in a moment; if it stays so, look at what became of the first call.";
    CursorExpired = GONE "CURSOR_EXPIRED",
        "Retention has passed the event to go on from: what came next is no longer kept.",
        "Go on from `earliest`. What lies in between is lost to this reader.";
    BodyTooLarge = PAYLOAD_TOO_LARGE "BODY_TOO_LARGE",
        "The body has more than 256 KiB.",
        "Send less in one call.";
    UriTooLong = URI_TOO_LONG "URI_TOO_LONG",
        "Path and query have more than 8 KiB.",
        "Send less in one call.";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "UNSUPPORTED_MEDIA_TYPE",
        "The body says that it is something else than JSON.",
        "Send `content-type: application/json`.";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY "IDEMPOTENCY_KEY_REUSED",
        "The idempotency key was used for another request within 24 hours.",
        "Draw a new one for each thing that is to be done.";
    RateLimited = TOO_MANY_REQUESTS "RATE_LIMITED",
        "Too many calls with this key, or too many wrong keys from this address.",
        "Try again after as many seconds as the header `retry-after` says.";
    TooManyIdempotencyKeys = TOO_MANY_REQUESTS "TOO_MANY_IDEMPOTENCY_KEYS",
        "As many answers are kept for repeated calls as can.",
        "Try again later, or without an idempotency key.";
    UpstreamThrottled = TOO_MANY_REQUESTS "UPSTREAM_THROTTLED",
        "Upstream asks to be left alone for a while.",
        "Try again after as many seconds as the header `retry-after` says.";
    Internal = INTERNAL_SERVER_ERROR "INTERNAL_ERROR",
        "Something went wrong in certhook.",
        "Its log says more under the `x-request-id` of the answer.";
    ChangeNotRecorded = INTERNAL_SERVER_ERROR "CHANGE_NOT_RECORDED",
        "The change was made, but could not be written into the audit log.",
        "Look before you do it again.";
    UpstreamRefused = BAD_GATEWAY "UPSTREAM_REFUSED",
        "Upstream refused the call. Mostly its own status and type are passed on instead; then this is only how it is \
         called here.",
        "Read its message.";
    StoreUnavailable = SERVICE_UNAVAILABLE "STORE_UNAVAILABLE",
        "The store cannot be used at the moment.",
        "Try again later.";
    TookTooLong = SERVICE_UNAVAILABLE "TOOK_TOO_LONG",
        "There is no answer within 30 seconds; a change may yet be made.",
        "Look, or ask again with the same idempotency key.";
    TooManyFollowers = SERVICE_UNAVAILABLE "TOO_MANY_FOLLOWERS",
        "As many streams and long polls wait for events as can.",
        "Close some of them, or read without `wait`.";
    Stopping = SERVICE_UNAVAILABLE "STOPPING",
        "certhook is stopping.",
        "Try again in a moment.";
    UpstreamUnavailable = GATEWAY_TIMEOUT "UPSTREAM_UNAVAILABLE",
        "Upstream did not answer in a way that can be used. Nothing was changed by the call.",
        "Try again later.";
    UpstreamOutcomeUnknown = GATEWAY_TIMEOUT "UPSTREAM_OUTCOME_UNKNOWN",
        "Upstream did not answer, so that it is not known whether the change was made.",
        "Do not repeat it blindly: the next pass tells.";
    InsufficientStorage = INSUFFICIENT_STORAGE "INSUFFICIENT_STORAGE",
        "There is too little room on the store's file system.",
        "Make room there.";
}
